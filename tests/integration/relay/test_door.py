"""What comes back from gateways: the routes of agents and gateways are passed, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from dstack_web.front import config as front
from dstack_web.relay import door
from tests.fakes.target import Target
from tests.integration.gateway.harness import until


@dataclass
class Stage:
    socket: Path
    server: Target

    async def says(self, head: bytes) -> bytes:
        """Send these very bytes; return what came back."""
        return await asyncio.to_thread(self._says, head)

    def _says(self, head: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(15)
            peer.connect(str(self.socket))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                peer.sendall(head)
                peer.shutdown(socket.SHUT_WR)
            found = b""
            # What is too long is cut off while it is sent.
            with contextlib.suppress(ConnectionResetError):
                while chunk := peer.recv(65536):
                    found += chunk
            return found


def is_open(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return path.exists() and probe.connect_ex(str(path)) == 0


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[Stage]:
    server = await Target(name="server").start()
    with tempfile.TemporaryDirectory(prefix="dstack-relay-") as name:
        folder = Path(name)
        door.write(folder, server=f"http://{server.address}")
        child = subprocess.Popen(front.argv(folder, os.environ, file=door.FILE))
        try:
            await until(lambda: is_open(folder / door.SOCKET))
            yield Stage(folder / door.SOCKET, server)
        finally:
            child.kill()
            child.wait()
    await server.stop()


def asked(target: str, *headers: str, method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1:621", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


PASSED = [
    "/api/agent/assignment?since=1&wait=20",
    "/api/agent/enrol",
    "/api/agent/agent.pyz",
    "/api/agent/gateway.whl",
    f"/api/agent/blobs/{'a' * 64}",
    "/api/agent/report",
    "/api/gateway/table?since=0&wait=25",
    "/api/gateway/status",
]


@pytest.mark.parametrize("target", PASSED)
async def test_routes_of_agents_and_gateways_are_passed(stage: Stage, target: str) -> None:
    assert (await stage.says(asked(target))).startswith(b"HTTP/1.1 200 ")
    assert stage.server.seen == [target]


REFUSED = [
    "/",
    "/api/",
    "/api/agent",
    "/api/agent/",
    "/api/projects/main/runs",
    "/api/tokens",
    "/login/",
    "/admin/",
    "/metrics",
    "/static/app.css",
    "/projects/main/",
    "//api/agent/enrol",
    "/api//agent/enrol",
    "/api/agent//enrol",
    "/api/agent/../projects",
    "//api/agent/../projects",
    "/api/agent/..",
    "/api/agent/blobs/../../projects",
    "/api/agent/./enrol",
    "/api/agent/%2e%2e/projects",
    "/api/agent/%2E%2E%2Fprojects",
    "/api/agent/..%2fprojects",
    "/api/agent/..;/projects",
    "/api/agent/enrol;x=/../projects",
    "/api/agent\\..\\projects",
    "/api%2fagent/enrol",
    "/API/AGENT/enrol",
    "/api/agentx/enrol",
    "/api/agent/enrol%00",
    "/api/agent/enrol%0d%0aX:y",
    "/api/agent/enrol#/../projects",
    "http://127.0.0.1/api/projects",
    "http://127.0.0.1/api/agent/enrol",
    "https://elsewhere.example/api/agent/enrol",
    "*",
    "127.0.0.1:22",
    "/x?/api/agent/enrol",
    "/" + "a" * 40_000,
]


@pytest.mark.parametrize("target", REFUSED, ids=lambda each: each[:40])
async def test_all_else_is_refused(stage: Stage, target: str) -> None:
    answer = await stage.says(asked(target))

    assert not answer or answer.split(b" ", 2)[1] in (b"400", b"404"), answer[:200]
    assert stage.server.seen == []


@pytest.mark.parametrize(
    "method", ["CONNECT", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PRI", "X"]
)
async def test_only_the_methods_of_those_routes_are_passed(stage: Stage, method: str) -> None:
    for target in ("/api/agent/enrol", "127.0.0.1:22"):
        answer = await stage.says(asked(target, method=method))
        assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405"), answer[:200]
    assert stage.server.seen == []


INNER = b"GET /api/projects HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLED = {
    "two lengths": asked(
        "/api/agent/enrol", "Content-Length: 0", f"Content-Length: {len(INNER)}", method="POST"
    )
    + INNER,
    "length and chunks": asked(
        "/api/agent/enrol", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST"
    )
    + b"0\r\n\r\n"
    + INNER,
    "odd chunks": asked("/api/agent/enrol", "Transfer-Encoding: xchunked", method="POST")
    + b"0\r\n\r\n"
    + INNER,
    "pipelined": asked("/api/agent/enrol").replace(b"close", b"keep-alive") + INNER,
    "a bare line feed": b"GET /api/agent/enrol HTTP/1.1\nHost: x\n\n" + INNER,
    "HTTP/0.9": b"GET /api/projects\r\n",
    "an upgrade to h2c": asked("/api/agent/enrol", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    "an upgrade to a WebSocket": asked("/api/agent/enrol", "Upgrade: websocket"),
    "HTTP/2 by its first bytes": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64,
}


@pytest.mark.parametrize("how", SMUGGLED)
async def test_nothing_is_smuggled_past_it(stage: Stage, how: str) -> None:
    answer = await stage.says(SMUGGLED[how])

    assert b"101 Switching" not in answer
    assert [each for each in stage.server.seen if each != "/api/agent/enrol"] == []


async def test_what_would_name_another_caller_is_taken_away(stage: Stage) -> None:
    said = ("X-Dstack-Peer: 9.9.9.9", "X-Forwarded-For: 9.9.9.9", "Cookie: sessionid=1")

    answer = await stage.says(asked("/api/agent/enrol", *said))

    assert answer.startswith(b"HTTP/1.1 200 ") and b"9.9.9.9" not in answer
    assert b"sessionid" not in answer
