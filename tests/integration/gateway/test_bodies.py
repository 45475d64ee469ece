"""How much of long bodies the sidecar takes in, of one key and in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from gateway.openai.bodies import Bodies, TooLarge, TooMany
from gateway.openai.http import Server
from tests.integration.gateway.harness import until

pytestmark = pytest.mark.asyncio

MOST, MOST_OF_KEY = 1000, 2500


class Taking:
    """A server that keeps each body until `go_on`, and fails where a body says so."""

    def __init__(self) -> None:
        self.bodies = Bodies(most_bytes=MOST, most_bytes_of_key=MOST_OF_KEY)
        self.go_on = asyncio.Event()
        self.kept = 0
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            async with self.bodies.receive(request, of=request.headers["X-Key"]) as body:
                self.kept += 1
                try:
                    await self.go_on.wait()
                finally:
                    self.kept -= 1
                text = b"".join([piece async for piece in body.pieces()])
                if text.startswith(b"fail"):
                    raise web.HTTPConflict
                return web.Response(body=text)
        except TooLarge:
            return web.Response(status=413)
        except TooMany:
            return web.Response(status=503)

    def holds(self, count: int) -> bool:
        return self.kept == count


@pytest_asyncio.fixture
async def taking() -> AsyncIterator[tuple[Taking, aiohttp.ClientSession]]:
    taking = Taking()
    runner = web.ServerRunner(Server(taking.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield taking, session
    await runner.cleanup()


async def send(session: aiohttp.ClientSession, key: str, body: bytes, *, chunked: bool) -> int:
    headers = {"X-Key": key}
    async with session.post("/", data=parts(body) if chunked else body, headers=headers) as answer:
        if answer.status == 200:
            assert await answer.read() == body
        return answer.status


async def parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 300):
        yield body[start : start + 300]


@pytest.mark.parametrize("chunked", [True, False])
async def test_bounds_one_body(taking: tuple[Taking, aiohttp.ClientSession], chunked: bool) -> None:
    server, session = taking
    server.go_on.set()

    assert await send(session, "a", b"x" * MOST, chunked=chunked) == 200
    for _ in range(5):
        assert await send(session, "a", b"x" * (MOST + 1), chunked=chunked) == 413
    assert await send(session, "a", b"x" * MOST, chunked=chunked) == 200


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("end", ["answered", "failed", "left"])
async def test_bounds_what_a_key_has_under_way(
    taking: tuple[Taking, aiohttp.ClientSession], chunked: bool, end: str
) -> None:
    """Each place is given back, however a request ends."""
    server, session = taking
    body = b"fail" * 250 if end == "failed" else b"x" * MOST
    for _ in range(3):
        server.go_on.clear()
        first = [asyncio.create_task(send(session, "a", body, chunked=chunked)) for _ in range(2)]
        await until(lambda: server.holds(2))
        assert await send(session, "a", b"x" * MOST, chunked=chunked) == 503
        other = asyncio.create_task(send(session, "b", b"x" * MOST, chunked=chunked))
        await until(lambda: server.holds(3))
        if end == "left":
            for task in first:
                task.cancel()
            await until(lambda: server.holds(1))
        server.go_on.set()
        found = await asyncio.gather(*first, other, return_exceptions=True)
        assert found[2] == 200
        if end != "left":
            assert found[:2] == [200 if end == "answered" else 409] * 2
    assert await send(session, "a", b"x" * MOST, chunked=chunked) == 200
