"""What passes between caller and service: everything, untouched, at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = f"Host: hello.localhost\r\nAuthorization: Bearer {ALICE}\r\n".encode()
MEBIBYTE = 2**20


@pytest.mark.parametrize(
    "host",
    [
        "hello.localhost",
        "HELLO.Localhost",
        "hello.localhost:8080",
        "hello.localhost.",
        "Hello.localhost.:1",
    ],
)
async def test_finds_the_service_by_host(gateway: Gateway, host: str) -> None:
    assert (await gateway.call(host=host, token=ALICE)).status == 200


@pytest.mark.parametrize(
    "host", ["", ".", "localhost", "xhello.localhost", "hello.localhost.evil", "hello", "*"]
)
async def test_knows_no_other_host(gateway: Gateway, host: str) -> None:
    assert (await gateway.call(host=host, token=ALICE)).status == 404


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
async def test_passes_every_method_on(gateway: Gateway, method: str) -> None:
    answer = await gateway.call("/x", method=method, token=ALICE)

    assert answer.json["method"] == method


@pytest.mark.parametrize(
    "path", ["//a//b/../c", "/a%2Fb%00?x=%zz&x=[]{}", "/?", "/;a=b", "/%E2%82%AC"]
)
async def test_leaves_path_and_query_as_they_are(
    gateway: Gateway, target: Target, path: str
) -> None:
    await gateway.raw(
        b"GET " + path.encode() + b" HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n"
    )

    assert target.seen[-1] == path


async def test_passes_chunked_bodies_on(gateway: Gateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"chunk"

    answer = await gateway.call(method="POST", token=ALICE, data=body())

    assert answer.json["sha256"] == hashlib.sha256(b"chunk" * 3).hexdigest()
    assert answer.header_of_request("transfer-encoding") == ["chunked"]


async def test_asks_the_service_whether_to_continue(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + HEAD + b"\r\n"
    )
    interim = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"ok")
    answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert interim.startswith(b"HTTP/1.1 100")
    assert answer.startswith(b"HTTP/1.1 200")


async def test_carries_large_bodies_without_keeping_them(gateway: Gateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"y" * MEBIBYTE

    before = resident_mebibytes(gateway)
    up = await gateway.call(method="POST", token=ALICE, data=body())
    down = await gateway.call(f"/bytes?count={200 * MEBIBYTE}", token=ALICE)

    assert up.json["length"] == len(down.body) == 200 * MEBIBYTE
    assert resident_mebibytes(gateway) - before < 10


def resident_mebibytes(gateway: Gateway) -> float:
    haproxy = gateway.haproxy()
    assert haproxy is not None
    rows = Path(f"/proc/{haproxy.pid}/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("VmRSS")).split()[1]) / 1024


async def test_streams_each_event_at_once(gateway: Gateway, target: Target) -> None:
    target.go_on.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /wait HTTP/1.1\r\n" + HEAD + b"\r\n")

    async with asyncio.timeout(20):
        await reader.readuntil(b"first\n")
        target.go_on.set()
        await reader.readuntil(b"second\n")
    writer.close()
    target.go_on.clear()


async def test_carries_websockets(gateway: Gateway) -> None:
    async with websockets.connect(
        "ws://hello.localhost/ws",
        host="127.0.0.1",
        port=gateway.port,
        proxy=None,
        additional_headers={"Authorization": f"Bearer {ALICE}"},
    ) as socket:
        await socket.send("text")
        await socket.send(b"b" * 500_000)

        assert await socket.recv() == "text"
        assert await socket.recv() == b"b" * 500_000


async def test_refuses_a_websocket_without_token(gateway: Gateway) -> None:
    with pytest.raises(websockets.InvalidStatus, match="401"):
        await websockets.connect(
            "ws://hello.localhost/ws", host="127.0.0.1", port=gateway.port, proxy=None
        )


async def test_upgrades_to_nothing_but_websocket(gateway: Gateway) -> None:
    answer = await gateway.call(
        token=ALICE,
        headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AA"},
    )

    assert answer.status == 200
    assert answer.header_of_request("upgrade") == []
    assert "upgrade" not in "".join(answer.header_of_request("connection")).lower()


async def test_says_who_called_and_believes_no_caller(gateway: Gateway) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Port": "1",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
    }
    answer = await gateway.call(host="hello.localhost:99", token=ALICE, headers=forged)
    seen = {name: value for name, value in answer.json["headers"] if "forwarded" in name}

    assert seen == {
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "hello.localhost:99",
    }
    assert answer.header_of_request("x-real-ip") == []


async def test_lets_no_caller_name_headers_to_drop(gateway: Gateway) -> None:
    named = {"Connection": "X-Forwarded-For, X-Request-Id", "X-Request-Id": "abc"}
    answer = await gateway.call(token=ALICE, headers=named)

    assert answer.header_of_request("connection") == []
    assert answer.header_of_request("x-forwarded-for") == ["127.0.0.1"]
    assert answer.header_of_request("x-request-id") == ["abc"]


@pytest.mark.parametrize(
    ("sent", "is_kept"), [("abc-123", True), ("a b", False), ("é", False), ("x" * 200, False)]
)
async def test_gives_each_request_an_id(gateway: Gateway, sent: str, is_kept: bool) -> None:
    answer = await gateway.call(token=ALICE, headers={"X-Request-Id": sent})
    seen = answer.header_of_request("x-request-id")

    assert len(seen) == 1
    assert len(seen[0]) > 5
    assert (seen == [sent]) is is_kept


async def test_does_not_let_a_service_set_the_dashboards_cookie(gateway: Gateway) -> None:
    answer = await gateway.call("/answer?header=Set-Cookie:dstack_session%3Dx", token=ALICE)

    assert answer.headers["set-cookie"] == "service_dstack_session=x"


async def test_answers_the_health_question_on_its_own_names_only(gateway: Gateway) -> None:
    own = await gateway.call("/-/healthz", host="localhost:1")
    foreign = await gateway.call("/-/healthz", host="unknown.localhost")
    service = await gateway.call("/-/healthz", token=ALICE)

    assert (own.status, own.body, foreign.status) == (200, b"ok", 404)
    assert service.json["path"] == "/-/healthz"


async def test_serves_many_callers_at_once(gateway: Gateway) -> None:
    answers = await asyncio.gather(*(gateway.call(f"/{n}", token=ALICE) for n in range(200)))

    assert {answer.json["path"] for answer in answers} == {f"/{n}" for n in range(200)}
