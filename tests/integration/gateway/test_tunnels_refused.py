"""Everything that a machine may not do at a gateway, asked for by real ssh."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import RELAY_PORT
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway import tunnel_stage
from tests.integration.gateway.harness import until
from tests.integration.gateway.ssh_clients import Machine, is_open, tunnel_port
from tests.integration.gateway.tunnel_stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Machines:
    """`far` has a port; `caller` may call the server; `other` has two ports, one of them open."""

    stage: Stage
    far: Machine
    caller: Machine
    other_ports: tuple[int, int]
    folder: Path

    def filled(self, words: list[str]) -> list[str]:
        values = {
            "PORT": self.stage.port,
            "FREE": tunnel_port(),
            "LIVE": self.other_ports[0],
            "LATER": self.other_ports[1],
            "FOLDER": self.folder,
            "TARGET": self.stage.target.port,
            "HOME": self.stage.gateway.home / "data",
        }
        for name, value in values.items():
            words = [each.replace(name, str(value)) for each in words]
        return words

    async def calls(self, who: Machine, to: str, *, how: str = "-L") -> bytes:
        """Ask through a local forward; return what came back."""
        near = free_port()
        forward = ["-N", how, f"127.0.0.1:{near}:{to}" if to else f"127.0.0.1:{near}"]
        argv = [who.ssh, *who.options(self.stage.server), *forward, "127.0.0.1"]
        child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
        who.children.append(child)
        await until(lambda: is_open(near))
        reader, writer = await asyncio.open_connection("127.0.0.1", near)
        # By SOCKS, or by HTTP.
        socks = b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01"
        where = self.stage.target.port.to_bytes(2, "big")
        hello = b"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        writer.write(hello if to else socks + where + hello)
        try:
            return await asyncio.wait_for(reader.read(), 15)
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def machines(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Machines]:
    folder = tmp_path_factory.mktemp("refused")
    async with tunnel_stage.made(folder) as stage:
        caller, other = Machine(folder, name="caller"), Machine(folder, name="other")
        ports = tunnel_port(), tunnel_port()
        calls = caller.row().model_copy(update={"calls_server": True})
        rows = (stage.machine.row(stage.port), calls, other.row(*ports))
        await stage.control.applied(await stage.control.put(*rows))
        await other.opens(stage.server, ports[0], stage.target.address)
        try:
            yield Machines(stage, stage.machine, caller, ports, folder)
        finally:
            caller.stop()
            other.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def server(machines: Machines) -> AsyncIterator[Target]:
    """It stands where a server that nobody can call is found: one test at a time has it."""
    made = Target(name="server", port=RELAY_PORT)
    deadline = time.monotonic() + 120
    while True:
        try:
            await made.start()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
    yield made
    await made.stop()


# What a machine may ask for, by ssh's own words.
FORBIDDEN = {
    "a port that nobody has": ["-N", "-R", "127.0.0.1:FREE:127.0.0.1:9"],
    "another machine's port": ["-N", "-R", "127.0.0.1:LIVE:127.0.0.1:9"],
    "another machine's port before it opens it": ["-N", "-R", "127.0.0.1:LATER:127.0.0.1:9"],
    "another port beside its own": [
        *("-N", "-R", "127.0.0.1:PORT:127.0.0.1:9"),
        *("-R", "127.0.0.1:LATER:127.0.0.1:9"),
    ],
    "the server's own port": ["-N", "-R", f"127.0.0.1:{RELAY_PORT}:127.0.0.1:9"],
    "its port on every address": ["-N", "-R", "0.0.0.0:PORT:127.0.0.1:9"],
    "its port on every address, by no name": ["-N", "-R", "*:PORT:127.0.0.1:9"],
    "its port on IPv6": ["-N", "-R", "[::1]:PORT:127.0.0.1:9"],
    "its port on another address of loopback": ["-N", "-R", "127.0.0.2:PORT:127.0.0.1:9"],
    "a port that sshd chooses": ["-N", "-R", "127.0.0.1:0:127.0.0.1:9"],
    "a privileged port": ["-N", "-R", "127.0.0.1:80:127.0.0.1:9"],
    "a port that is none": ["-N", "-R", "127.0.0.1:1:127.0.0.1:9"],
    "a dynamic proxy": ["-N", "-R", "127.0.0.1:FREE"],
    "a unix socket": ["-N", "-R", "FOLDER/sock:127.0.0.1:9"],
    "a connection to what listens there": ["-W", "127.0.0.1:TARGET"],
    "a connection to another machine's port": ["-W", "127.0.0.1:LIVE"],
    "a connection to the metadata of a cloud": ["-W", "169.254.169.254:80"],
    "a connection where it may not": ["-W", "127.0.0.1:1"],
    "a tun device": ["-N", "-w", "0:0", "-o", "ExitOnForwardFailure=yes"],
    "a shell": [],
    "a shell with agent and X11": ["-A", "-X"],
    "a command": ["HOST", "id"],
    "a subsystem": ["-s", "HOST", "sftp"],
    "a terminal": ["-tt", "HOST", "id"],
}
# These need a port, or are the same whoever asks.
OF_FAR = ("its port", "another port beside", "a shell", "a command", "a subsystem", "a terminal")
ASKED = [("far", what) for what in FORBIDDEN]
ASKED += [("caller", what) for what in FORBIDDEN if not what.startswith(OF_FAR)]


@pytest.mark.parametrize(("who", "what"), ASKED)
async def test_all_else_is_refused(machines: Machines, who: str, what: str) -> None:
    words = machines.filled(FORBIDDEN[what])
    words = [*words, "HOST"] if "HOST" not in words else words
    asked = ["127.0.0.1" if each == "HOST" else each for each in words]

    code, said = await getattr(machines, who).asks(machines.stage.server, *asked)

    assert code == 255, said
    assert "uid=" not in said
    # It may have opened its own before the other was refused; that goes with the connection.
    await until(lambda: not is_open(machines.stage.port))
    assert not is_open(machines.other_ports[1])
    assert not (machines.folder / "sock").exists()
    assert machines.stage.target.seen == []


ELSEWHERE = {
    "what listens on the gateway": ("127.0.0.1:TARGET", "-L"),
    "another machine's port": ("127.0.0.1:LIVE", "-L"),
    "the gateway's sshd": ("127.0.0.1:22", "-L"),
    "the server by IPv6": (f"[::1]:{RELAY_PORT}", "-L"),
    "a unix socket": ("HOME/haproxy.sock", "-L"),
    "a proxy": ("", "-D"),
}


@pytest.mark.parametrize("what", ELSEWHERE)
@pytest.mark.parametrize("who", ["far", "caller"])
async def test_a_local_forward_leads_nowhere(machines: Machines, who: str, what: str) -> None:
    to, how = ELSEWHERE[what]
    (to,) = machines.filled([to])

    said = await machines.calls(getattr(machines, who), to, how=how)

    # A client that acts as proxy says by itself that it is one.
    assert said == (b"\x05\x00" if how == "-D" else b"")
    assert machines.stage.target.seen == []


async def test_the_server_is_called_through_a_gateway_by_who_may_alone(
    machines: Machines, server: Target
) -> None:
    assert await machines.calls(machines.far, f"127.0.0.1:{RELAY_PORT}") == b""
    assert server.seen == []

    assert b" 200 " in await machines.calls(machines.caller, f"127.0.0.1:{RELAY_PORT}")
    assert server.seen == ["/hello"]


async def test_a_stranger_a_password_and_another_user_are_refused(machines: Machines) -> None:
    stage, stranger = machines.stage, Machine(machines.folder, name="stranger")
    password = ["-o", "PreferredAuthentications=password,keyboard-interactive"]
    users = [stage.server.model_copy(update={"user": name}) for name in ("root", "nobody", "sshd")]
    refused = [
        await stranger.asks(stage.server, "-N", "127.0.0.1"),
        await stage.machine.asks(stage.server, *password, "-N", "127.0.0.1"),
        *[await stage.machine.asks(other, "-N", "127.0.0.1") for other in users],
    ]

    assert [code for code, _ in refused] == [255] * 5
    assert all("Permission denied (publickey)" in said for _, said in refused), refused


async def test_another_host_key_is_refused_by_the_machine(machines: Machines) -> None:
    key = Machine(machines.folder, "false").public_key
    false = machines.stage.server.model_copy(update={"host_key": key})

    code, said = await machines.far.asks(false, "-N", "127.0.0.1")

    assert (code, "Host key verification failed" in said) == (255, True)


async def test_a_caller_whose_key_is_taken_away_is_cut_off(machines: Machines) -> None:
    late = Machine(machines.folder, name="late")
    row = late.row().model_copy(update={"calls_server": True})
    await machines.stage.control.applied(await machines.stage.control.put(row))
    near = free_port()
    options = [*late.options(machines.stage.server), "-N", "-L", f"{near}:127.0.0.1:{RELAY_PORT}"]
    child = subprocess.Popen([late.ssh, *options, "127.0.0.1"], stderr=subprocess.DEVNULL)
    with contextlib.ExitStack() as stack:
        stack.callback(child.wait)
        stack.callback(child.kill)
        await until(lambda: is_open(near))

        await machines.stage.control.drop(row)

        await until(lambda: child.poll() is not None)
    code, said = await late.asks(machines.stage.server, "-N", "127.0.0.1")
    assert (code, "Permission denied (publickey)" in said) == (255, True)
