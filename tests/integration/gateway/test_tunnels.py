"""Replicas behind tunnels, by real sshd and ssh: what is served, and everything that is refused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import RELAY_PORT, TunnelServer
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, Gateway, until
from tests.integration.gateway.ssh_clients import Machine, is_open, tunnel_port

PATIENCE_SECONDS = 40.0


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


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    target = await Target(name="far").start()
    machine, port = Machine(tmp_path), tunnel_port()
    gateway = Gateway(tmp_path, control)
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


async def test_a_service_answers_through_the_tunnel(stage: Stage) -> None:
    version = await stage.serve()
    waiting = await stage.control.wait_status(lambda each: bool(each.pending))
    assert list(waiting.pending.values()) == ["the tunnel is not open yet"]
    await stage.opened()
    await stage.control.applied(version)

    answer = await stage.gateway.call("/far", token=ALICE)

    assert answer.status == 200
    assert stage.target.seen[-1] == "/far"


# What a machine may ask for, by ssh's own words; `PORT` is its own, `OTHER` is not.
FORBIDDEN = {
    "a foreign port": ["-N", "-R", "127.0.0.1:OTHER:127.0.0.1:9"],
    "its port on every address": ["-N", "-R", "0.0.0.0:PORT:127.0.0.1:9"],
    "its port on every address, by no name": ["-N", "-R", "*:PORT:127.0.0.1:9"],
    "its port on IPv6": ["-N", "-R", "[::1]:PORT:127.0.0.1:9"],
    "a port that sshd chooses": ["-N", "-R", "127.0.0.1:0:127.0.0.1:9"],
    "a privileged port": ["-N", "-R", "127.0.0.1:80:127.0.0.1:9"],
    "a dynamic proxy": ["-N", "-R", "127.0.0.1:OTHER"],
    "a unix socket": ["-N", "-R", "FOLDER/sock:127.0.0.1:9"],
    "a connection of its own": ["-W", "127.0.0.1:TARGET"],
    "a connection where it may not": ["-W", "127.0.0.1:1"],
    "a tun device": ["-N", "-w", "0:0"],
    "a shell": [],
    "a command": ["id"],
    "a subsystem": ["-s", "sftp"],
    "a terminal": ["-tt", "id"],
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_all_else_is_refused(stage: Stage, tmp_path: Path, what: str) -> None:
    words = {
        "PORT": stage.port,
        "OTHER": tunnel_port(),
        "FOLDER": tmp_path,
        "TARGET": stage.target.port,
    }
    arguments = []
    for each in FORBIDDEN[what]:
        for word, value in words.items():
            each = each.replace(word, str(value))
        arguments.append(each)
    options = [each for each in arguments if each not in ("id", "sftp")]
    command = [each for each in arguments if each in ("id", "sftp")]
    if "-w" in options:
        options += ["-o", "ExitOnForwardFailure=yes"]

    code, said = await stage.machine.asks(stage.server, *options, "127.0.0.1", *command)

    assert code == 255, said
    assert "uid=" not in said
    assert not is_open(stage.port)
    assert not (tmp_path / "sock").exists()
    assert stage.target.seen == []


async def test_a_local_forward_opens_no_connection(stage: Stage, tmp_path: Path) -> None:
    near = free_port()
    forward = ["-N", "-L", f"127.0.0.1:{near}:{stage.target.address}"]
    command = [stage.machine.ssh, *stage.machine.options(stage.server), *forward, "127.0.0.1"]
    said = tmp_path / "said"
    with said.open("wb") as errors:
        stage.machine.children.append(subprocess.Popen(command, stderr=errors))
    await until(lambda: is_open(near))

    with contextlib.suppress(ConnectionResetError):
        reader, writer = await asyncio.open_connection("127.0.0.1", near)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 10) == b""

    await until(lambda: "administratively prohibited" in said.read_text())
    assert stage.target.seen == []


@dataclass
class Caller:
    """A machine that may call the server through its gateway, and has no replica there yet."""

    stage: Stage
    machine: Machine
    server: Target

    async def calls(self, to: str, *, after: Machine | None = None) -> bytes:
        """Ask through a local forward; return what came back."""
        near = free_port()
        who = after or self.machine
        forward = ["-N", "-L", f"127.0.0.1:{near}:{to}"]
        who.children.append(
            subprocess.Popen([who.ssh, *who.options(self.stage.server), *forward, "127.0.0.1"])
        )
        await until(lambda: is_open(near))
        reader, writer = await asyncio.open_connection("127.0.0.1", near)
        writer.write(b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        try:
            return await asyncio.wait_for(reader.read(), 15)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@pytest_asyncio.fixture
async def caller(stage: Stage, tmp_path: Path) -> AsyncIterator[Caller]:
    """Its server stands where a server that nobody can call is found: one test at a time has it."""
    machine, server = Machine(tmp_path, name="caller"), Target(name="server", port=RELAY_PORT)
    row = machine.row().model_copy(update={"calls_server": True})
    version = await stage.control.put(stage.machine.row(stage.port), row)
    await stage.control.applied(version)
    deadline = time.monotonic() + 120
    while True:
        try:
            await server.start()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
    try:
        yield Caller(stage, machine, server)
    finally:
        machine.stop()
        await server.stop()


async def test_a_machine_calls_the_server_through_its_gateway_and_nothing_else(
    caller: Caller,
) -> None:
    assert b" 200 " in await caller.calls(f"127.0.0.1:{RELAY_PORT}")
    assert caller.server.seen == ["/hello"]

    for elsewhere in (caller.stage.target.address, "127.0.0.1:22", f"[::1]:{RELAY_PORT}"):
        assert await caller.calls(elsewhere) == b""
    assert caller.stage.target.seen == []


async def test_one_without_that_right_does_not_reach_the_server(caller: Caller) -> None:
    far = caller.stage.machine

    assert await caller.calls(f"127.0.0.1:{RELAY_PORT}", after=far) == b""

    assert caller.server.seen == []


CALLERS_FORBIDDEN = [
    ["-N", "-R", "127.0.0.1:OTHER:127.0.0.1:9"],
    ["-N", "-R", "127.0.0.1:1:127.0.0.1:9"],
    ["-N", "-R", f"127.0.0.1:{RELAY_PORT}:127.0.0.1:9"],
    ["-N", "-R", "127.0.0.1:0:127.0.0.1:9"],
    ["-N", "-R", "0.0.0.0:OTHER:127.0.0.1:9"],
    ["-W", "127.0.0.1:1"],
    ["-W", "127.0.0.1:TARGET"],
]


@pytest.mark.parametrize("asked", CALLERS_FORBIDDEN, ids=" ".join)
async def test_who_may_call_the_server_opens_no_port(caller: Caller, asked: list[str]) -> None:
    other, target = str(tunnel_port()), str(caller.stage.target.port)
    arguments = [each.replace("OTHER", other).replace("TARGET", target) for each in asked]

    code, said = await caller.machine.asks(caller.stage.server, *arguments, "127.0.0.1")

    assert code == 255, said
    assert caller.stage.target.seen == []


async def test_a_caller_whose_key_is_taken_away_is_cut_off(caller: Caller) -> None:
    assert b" 200 " in await caller.calls(f"127.0.0.1:{RELAY_PORT}")

    await caller.stage.control.drop(caller.machine.row())

    await until(lambda: caller.machine.children[-1].poll() is not None)
    code, said = await caller.machine.asks(caller.stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied (publickey)" in said) == (255, True)


async def test_a_stranger_and_a_password_are_refused(stage: Stage, tmp_path: Path) -> None:
    stranger = Machine(tmp_path, name="stranger")
    code, said = await stranger.asks(stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied (publickey)" in said) == (255, True)

    password = ["-o", "PreferredAuthentications=password,keyboard-interactive", "-N", "127.0.0.1"]
    code, said = await stage.machine.asks(stage.server, *password)
    assert (code, "Permission denied (publickey)" in said) == (255, True)


@pytest.mark.parametrize("user", ["root", "nobody", "daemon"])
async def test_nobody_else_of_the_host_can_come_in(stage: Stage, user: str) -> None:
    other = stage.server.model_copy(update={"user": user})

    code, said = await stage.machine.asks(other, "-N", "127.0.0.1")

    assert (code, "Permission denied" in said) == (255, True)


async def test_another_host_key_is_refused_by_the_machine(stage: Stage, tmp_path: Path) -> None:
    false = stage.server.model_copy(update={"host_key": Machine(tmp_path, "false").public_key})

    code, said = await stage.machine.asks(false, "-N", "127.0.0.1")

    assert (code, "Host key verification failed" in said) == (255, True)


async def test_a_revoked_key_is_cut_off_and_not_let_in_again(stage: Stage) -> None:
    child = await stage.opened()

    await stage.control.drop(stage.machine.row(stage.port))

    await until(lambda: child.poll() is not None)
    await until(lambda: not is_open(stage.port))
    code, said = await stage.machine.asks(stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied" in said) == (255, True)


async def test_a_port_that_was_taken_back_is_given_up_or_the_connection_ends(
    stage: Stage,
) -> None:
    child, other = await stage.opened(), tunnel_port()

    await stage.control.put(stage.machine.row(other))

    await until(lambda: child.poll() is not None)
    assert not is_open(stage.port)


async def test_a_port_that_is_another_machines_now_leads_to_no_machine_of_before(
    stage: Stage, tmp_path: Path
) -> None:
    child = await stage.opened()
    heir, near = Machine(tmp_path, name="heir"), await Target(name="near").start()
    hello = service("hello", f"127.0.0.1:{stage.port}")
    rows = (stage.machine.row(tunnel_port()), heir.row(stage.port))

    version = await stage.control.put(*rows, hello, key(ALICE, projects=["p1"]))
    call = asyncio.create_task(stage.gateway.call("/private", token=ALICE))

    # The busier the machine, the less often the kernel is asked who listens.
    await until(lambda: child.poll() is not None, seconds=15)
    await heir.opens(stage.server, stage.port, near.address)
    await stage.control.applied(version)
    assert (await call).status in (200, 401, 404)
    assert stage.target.seen == []
    assert (await stage.gateway.call("/private", token=ALICE)).status == 200
    assert near.seen[-1] == "/private"
    heir.stop()
    await near.stop()


async def test_another_program_on_the_port_is_not_taken_for_the_machine(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", stage.port)):
        version = await stage.serve()
        await stage.control.wait_status(
            lambda each: (
                each.applied >= version
                and any("somebody else" in why for why in each.pending.values())
            )
        )


async def test_a_killed_sidecar_cuts_no_tunnel_and_its_successor_knows_them(stage: Stage) -> None:
    child = await stage.opened()
    await stage.control.applied(await stage.serve())
    assert stage.gateway.sidecar is not None
    stage.gateway.sidecar.send_signal(signal.SIGKILL)
    stage.gateway.sidecar.wait()
    assert (await stage.gateway.call("/", token=ALICE)).status == 200

    await stage.gateway.start()

    count = len(stage.control.statuses)
    await stage.control.wait_status(lambda each: each.tunnels is not None, since=count)
    assert (await stage.gateway.call("/", token=ALICE)).status == 200
    assert child.poll() is None
    await stage.control.drop(stage.machine.row(stage.port))
    await until(lambda: child.poll() is not None)


async def test_an_orderly_end_leaves_no_connection(stage: Stage) -> None:
    child = await stage.opened()

    await stage.gateway.stop()

    await until(lambda: child.poll() is not None)
    assert not is_open(stage.port)


async def test_a_restart_shows_the_same_host_key(stage: Stage) -> None:
    await stage.gateway.stop()
    stage.gateway.session = None
    await stage.gateway.start()

    count = len(stage.control.statuses)
    said = await stage.control.wait_status(lambda each: each.tunnels is not None, since=count)

    assert said.tunnels == stage.server


async def test_keys_and_their_ports_are_no_secret_to_the_tunnels_user_alone(stage: Stage) -> None:
    home = stage.gateway.home / "data"
    assert (home / "tunnels" / "host_key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    if os.geteuid() == 0:
        assert stage.server.user == "dstack-tunnel"


async def test_many_who_say_nothing_keep_no_machine_out_for_long(stage: Stage) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", stage.server.port) for _ in range(80)]

    closed = [asyncio.create_task(reader.read()) for reader, _ in silent]
    # Those above the bound are turned away at once, the others when their time to log in is over.
    await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED, timeout=20)
    assert sum(each.done() for each in closed) >= 1
    for _, writer in silent:
        writer.close()
    await asyncio.gather(*closed, return_exceptions=True)
    await let_in(stage)


async def let_in(stage: Stage) -> None:
    """Try as an agent does, which is turned away while those who left are still counted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await stage.opened()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
