"""Tunnels and TLS on one port, told apart by what a client says first: real ssh, curl, HAProxy."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.schema import Certificate, TunnelServer
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.authorities import Ca
from tests.integration.gateway.harness import Gateway
from tests.integration.gateway.ssh_clients import Machine, tunnel_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "far.example.test"
SILENT_SECONDS = 5.0


@dataclass
class Stage:
    gateway: Gateway
    target: Target
    machine: Machine
    server: TunnelServer
    tunnel: int
    ca_file: Path

    async def curl(self, *options: str) -> str:
        argv = ["curl", "-sS", "--cacert", str(self.ca_file), "--max-time", "10", "--noproxy", "*"]
        argv += ["--resolve", f"{HOST}:{self.server.port}:127.0.0.1", *options]
        child = await asyncio.create_subprocess_exec(
            *argv, f"https://{HOST}:{self.server.port}/hello", stdout=asyncio.subprocess.PIPE
        )
        return (await child.communicate())[0].decode()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A service behind a tunnel, with a certificate."""
    folder = tmp_path_factory.mktemp("shared")
    control, ca, port = ControlPlane(token="dsk_g_gateway"), Ca(), str(free_port())
    control.domain = "example.test"
    await control.start()
    target, machine, tunnel = await Target(name="far").start(), Machine(folder), tunnel_port()
    (folder / "ca.pem").write_text(ca.text)
    made = ca.sign(HOST)
    gateway = Gateway(folder / "gateway", control)
    gateway.environ = {"DSTACK_GATEWAY_TLS_PORT": port, "DSTACK_GATEWAY_SSH_PORT": port}
    far = service("far", f"127.0.0.1:{tunnel}", auth=False).model_copy(update={"hosts": [HOST]})
    secret = Certificate(id="c1", version=0, hosts=[HOST], chain=made.chain, key=made.key)
    try:
        await gateway.start()
        version = await control.put(machine.row(tunnel), far, secret)
        said = await control.wait_status(lambda each: each.tunnels is not None)
        assert said.tunnels is not None
        await control.wait_status(lambda each: each.applied >= version)
        await machine.opens(said.tunnels, tunnel, target.address)
        await control.applied(version)
        await control.wait_status(
            lambda s: (HOST, "valid") in {(c.host, c.state) for c in s.certificates}
        )
        yield Stage(gateway, target, machine, said.tunnels, tunnel, folder / "ca.pem")
    finally:
        machine.stop()
        await gateway.stop()
        await target.stop()
        await control.stop()


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_https_and_the_tunnel_behind_it_come_in_by_one_port(
    stage: Stage, version: str
) -> None:
    said = await stage.curl(version, "-w", "\n%{http_code} %{http_version}")

    body, _, last = said.rpartition("\n")
    assert last == f"200 {'2' if version == '--http2' else '1.1'}"
    sent = {name.lower(): value for name, value in json.loads(body)["headers"]}
    # Who calls is not lost on the way between the two frontends.
    assert (sent["x-forwarded-for"], sent["x-forwarded-proto"]) == ("127.0.0.1", "https")


async def first_words(stage: Stage, *pieces: bytes) -> bytes:
    """Say something in pieces; return what comes first, nothing where the port closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.1)
    try:
        return await asyncio.wait_for(reader.read(4), SILENT_SECONDS + 5)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_ssh_is_known_by_its_first_four_letters_however_they_come(stage: Stage) -> None:
    assert await first_words(stage, b"SS", b"H", b"-2.0-x\r\n") == b"SSH-"


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"SSL-\r\n", b"\x00" * 9])
async def test_anything_else_meets_tls(stage: Stage, words: bytes) -> None:
    assert await first_words(stage, words) in (b"", b"\x15\x03\x01\x00", b"\x15\x03\x03\x00")


async def test_who_says_too_little_has_to_leave(stage: Stage) -> None:
    began = time.monotonic()

    said = await asyncio.gather(first_words(stage), first_words(stage, b"SSH"))

    assert set(said) == {b""}

    assert time.monotonic() - began > SILENT_SECONDS - 1
