"""A machine that the gateway cannot dial, with the agent's own client: served, cut off, back."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from apps.agent import wire
from gateway.schema import TunnelKey, TunnelServer
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, ROOT, Gateway, until
from tests.integration.gateway.namespaces import Host, host
from tests.integration.gateway.ssh_clients import is_open, tunnel_port
from tests.programs import require_program

SERVICE_PORT = 8000
# Within two on a machine that has nothing else to do.
BACK_SECONDS = 4.0


@dataclass
class Far:
    """An agent on a host of its own, whose replica listens on that host's loopback."""

    host: Host
    gateway: Gateway
    control: ControlPlane
    server: TunnelServer
    folder: Path
    port: int
    agent: subprocess.Popen[str]

    def tunnels(self, *ports: int) -> list[wire.Tunnels]:
        forwards = [wire.Forward(port, "w1") for port in ports]
        said = self.server
        return [wire.Tunnels(self.host.near, said.port, said.user, said.host_key, forwards)]

    def tell(self, tunnels: list[wire.Tunnels], address: str = "") -> str:
        """Tell the agent what should be open; return its key."""
        assert self.agent.stdin is not None and self.agent.stdout is not None
        addresses = {"w1": address or f"127.0.0.1:{SERVICE_PORT}"}
        said = {"tunnels": [dataclasses.asdict(each) for each in tunnels], "addresses": addresses}
        self.agent.stdin.write(json.dumps(said) + "\n")
        self.agent.stdin.flush()
        return " ".join(self.agent.stdout.readline().split()[:2])

    async def permit(self, public_key: str, *ports: int) -> int:
        row = TunnelKey(id="m1", version=0, public_key=public_key, ports=list(ports))
        return await self.control.put(row)

    async def serve(self) -> None:
        public_key = self.tell(self.tunnels(self.port))
        await self.permit(public_key, self.port)
        hello = service("hello", f"127.0.0.1:{self.port}")
        await self.control.applied(await self.control.put(hello, key(ALICE, projects=["p1"])))

    def restart(self) -> None:
        """Kill the agent; its successor finds what it left."""
        self.agent.kill()
        self.agent.wait()
        self.agent = agent_on(self.host, self.folder)


def agent_on(where: Host, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        where.command(sys.executable, "-m", "tests.integration.gateway.far_agent", str(folder)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest_asyncio.fixture
async def far(tmp_path: Path) -> AsyncIterator[Far]:
    require_program("sshd", package="openssh-server")
    require_program("ssh", package="openssh-client")
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    gateway = Gateway(tmp_path, control)
    with host() as where:
        gateway.environ = {
            "DSTACK_GATEWAY_SSH_PORT": str(free_port()),
            "DSTACK_GATEWAY_BIND": f"127.0.0.1 {where.near}",
        }
        web = subprocess.Popen(
            where.command(
                *(sys.executable, "-m", "http.server", str(SERVICE_PORT)),
                *("--bind", "127.0.0.1", "--directory", str(tmp_path)),
            ),
            stderr=subprocess.DEVNULL,
        )
        agent = agent_on(where, tmp_path / "ssh")
        try:
            await gateway.start()
            said = await control.wait_status(lambda each: each.tunnels is not None)
            assert said.tunnels is not None
            made = Far(
                where, gateway, control, said.tunnels, tmp_path / "ssh", tunnel_port(), agent
            )
            yield made
            assert made.agent.stdin is not None
            made.agent.stdin.close()
            made.agent.wait(20)
        finally:
            web.kill()
            web.wait()
            await gateway.stop()
            await control.stop()


async def ask(far: Far) -> tuple[int, float]:
    began = time.monotonic()
    answer = await far.gateway.call("/", token=ALICE)
    return answer.status, time.monotonic() - began


async def test_a_service_on_another_hosts_loopback_answers(far: Far) -> None:
    await far.serve()

    assert (await far.gateway.call("/", token=ALICE)).status == 200


async def test_a_cut_of_a_second_loses_nothing(far: Far) -> None:
    await far.serve()
    far.host.cut()
    asked = [asyncio.create_task(ask(far)) for _ in range(5)]
    await asyncio.sleep(1)
    far.host.mend()

    answers = await asyncio.gather(*asked)

    assert [status for status, _ in answers] == [200] * 5
    assert is_open(far.port)


async def test_after_a_cut_of_eight_seconds_what_was_held_is_answered_soon(far: Far) -> None:
    await far.serve()
    far.host.cut()
    began = time.monotonic()
    asked = asyncio.create_task(ask(far))
    # By then both sides have given the connection up.
    await asyncio.sleep(7)
    later = asyncio.create_task(ask(far))
    await asyncio.sleep(max(0.0, began + 8 - time.monotonic()))
    far.host.mend()
    mended = time.monotonic()

    statuses = [(await each)[0] for each in (asked, later)]

    assert statuses == [200, 200]
    assert time.monotonic() - mended < BACK_SECONDS


async def test_another_port_is_opened_without_a_cut(far: Far) -> None:
    await far.serve()
    other = tunnel_port()
    public_key = far.tell(far.tunnels(far.port))
    (control,) = far.folder.glob("*/control")
    born = control.stat().st_ino
    # The agent may be faster than the gateway's table.
    far.tell(far.tunnels(far.port, other))
    await asyncio.sleep(1)
    await far.permit(public_key, far.port, other)

    await until(lambda: is_open(other))

    assert control.stat().st_ino == born
    far.tell(far.tunnels(other))
    await until(lambda: not is_open(far.port))
    assert is_open(other)


async def test_a_replica_that_moved_is_forwarded_anew(far: Far, tmp_path: Path) -> None:
    await far.serve()
    moved = subprocess.Popen(
        far.host.command(sys.executable, "-m", "http.server", "8001", "--bind", "127.0.0.1"),
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    far.tell(far.tunnels(far.port), address="127.0.0.1:8001")

    forwards = {str(far.port): "127.0.0.1:8001"}

    async def is_there() -> bool:
        stored = json.loads(next(far.folder.glob("*/forwards.json")).read_text())
        return bool(stored == forwards and (await ask(far))[0] == 200)

    try:
        await until(is_there)
    finally:
        moved.kill()
        moved.wait()


async def test_a_killed_agent_leaves_its_tunnels_to_the_next(far: Far) -> None:
    await far.serve()
    control = next(far.folder.glob("*/control"))
    born = control.stat().st_ino
    far.restart()

    assert (await ask(far))[0] == 200
    far.tell(far.tunnels(far.port))
    assert (await ask(far))[0] == 200
    assert control.stat().st_ino == born

    far.tell([])
    await until(lambda: not is_open(far.port))


@pytest.mark.parametrize("host_key", ["ssh-ed25519 " + "A" * 68])
async def test_a_false_gateway_is_not_believed(far: Far, host_key: str) -> None:
    far.server = far.server.model_copy(update={"host_key": host_key})
    public_key = far.tell(far.tunnels(far.port))
    await far.permit(public_key, far.port)

    def said() -> str:
        return "".join(each.read_text() for each in far.folder.glob("*/errors"))

    await until(lambda: "Host key verification failed" in said())
    assert not is_open(far.port)
