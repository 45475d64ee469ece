"""A machine that comes in by OpenSSH, a gateway that takes it, and a service behind its tunnel."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from gateway.schema import TunnelServer
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, Gateway
from tests.integration.gateway.ssh_clients import Machine, tunnel_port


@dataclass
class Stage:
    gateway: Gateway
    control: ControlPlane
    machine: Machine
    port: int
    server: TunnelServer
    target: Target

    async def opened(self) -> subprocess.Popen[bytes]:
        return await self.machine.opens(self.server, self.port, self.target.address)

    async def serve(self) -> int:
        """Put the service behind the tunnel into the table."""
        hello = service("hello", f"127.0.0.1:{self.port}")
        return await self.control.put(hello, key(ALICE, projects=["p1"]))


@contextlib.asynccontextmanager
async def made(folder: Path) -> AsyncIterator[Stage]:
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    target = await Target(name="far").start()
    machine, port = Machine(folder), tunnel_port()
    gateway = Gateway(folder, control)
    gateway.environ = {"DSTACK_GATEWAY_SSH_PORT": str(free_port())}
    try:
        await gateway.start()
        await control.put(machine.row(port))
        said = await control.wait_status(lambda each: each.tunnels is not None)
        assert said.tunnels is not None
        await control.applied(control.version)
        yield Stage(gateway, control, machine, port, said.tunnels, target)
    finally:
        machine.stop()
        await gateway.stop()
        await target.stop()
        await control.stop()


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with made(tmp_path) as found:
        yield found
