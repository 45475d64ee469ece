"""One way to read a request: what two parsers could read differently does not pass."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = b"POST /first HTTP/1.1\r\nHost: hello.localhost\r\nAuthorization: Bearer " + ALICE.encode()
SECOND = b"GET /smuggled HTTP/1.1\r\nHost: hello.localhost\r\nAuthorization: Bearer x\r\n\r\n"
CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "rest",
    [
        b"\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SECOND,
        b"\r\nContent-Length: 5, 6\r\n\r\nhello" + SECOND,
        b"\r\nContent-Length: -1\r\n\r\n" + SECOND,
        b"\r\nContent-Length: 0x5\r\n\r\nhello" + SECOND,
        b"\r\nContent-Length: +5\r\n\r\nhello" + SECOND,
        b"\r\nContent-Length : 5\r\n\r\nhello" + SECOND,
        b"\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
        b"\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
        b"\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND,
        b"\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
        b"\r\nTransfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n" + SECOND,
        b"\r\nX: a\x00b\r\n\r\n" + SECOND,
        b"\r\nno colon\r\n\r\n" + SECOND,
        b"\r\n: empty\r\n\r\n" + SECOND,
        CHUNKED + b"\r\nxyz\r\nhello\r\n0\r\n\r\n" + SECOND,
        CHUNKED + b"\r\n-5\r\nhello\r\n0\r\n\r\n" + SECOND,
        CHUNKED + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n" + SECOND,
        CHUNKED + b"\r\n5\r\nhelloX0\r\n\r\n" + SECOND,
    ],
)
async def test_never_makes_two_requests_of_one(
    gateway: Gateway, target: Target, rest: bytes
) -> None:
    target.seen.clear()
    answer = await gateway.raw(HEAD + rest)

    assert "/smuggled" not in target.seen
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 422", b"HTTP/1.1 501")), answer[:80]


@pytest.mark.parametrize(
    "rest",
    [
        b"\r\nContent-Length: 6" + CHUNKED + b"\r\n0\r\n\r\n" + SECOND,
        CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n" + SECOND,
    ],
)
async def test_passes_one_framing_on_of_two_and_hangs_up(
    gateway: Gateway, target: Target, rest: bytes
) -> None:
    target.seen.clear()
    answer = await gateway.raw(HEAD + rest)

    assert target.seen == ["/first"]
    assert b'["transfer-encoding", "chunked"]' in answer
    assert b'"content-length"' not in answer


async def test_unfolds_a_header_of_two_lines(gateway: Gateway) -> None:
    fold = b"\r\nX-Long: a\r\n Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = await gateway.raw(HEAD + fold)

    assert b'"transfer-encoding"' not in answer
    assert b"Transfer-Encoding: chunked" in answer


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET  / HTTP/1.1",
        b"GET /\x01 HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET /",
        b"G\x00T / HTTP/1.1",
        b"GET http://other.localhost/ HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\nHost: open.localhost",
    ],
)
async def test_refuses_what_is_no_request(
    gateway: Gateway, target: Target, request_line: bytes
) -> None:
    target.seen.clear()
    text = request_line + b"\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n"
    answer = await gateway.raw(text)

    assert target.seen == []
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.1 401", b"HTTP/1.0 400"))


@pytest.mark.parametrize(
    ("host", "path", "accept", "kind", "word"),
    [
        ("hello.localhost", "/", "*/*", b"application/json", b'"bad_request"'),
        ("hello.localhost", "/", "text/html", b"text/html; charset=utf-8", b"<h1>"),
        ("localhost", "/services/main/hello/", "*/*", b"application/json", b'"bad_request"'),
        ("localhost", "/v1/chat", "*/*", b"application/json", b'"invalid_request_error"'),
    ],
)
async def test_says_in_the_callers_form_that_a_body_breaks(
    gateway: Gateway, host: str, path: str, accept: str, kind: bytes, word: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {ALICE}\r\n"
        f"Origin: http://a\r\nAccept: {accept}\r\nTransfer-Encoding: chunked\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    # A chunk that came with the head would be read, and refused, with it.
    assert b" 100 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.write(b"xyz\r\n")
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 400")
    assert b"content-type: " + kind in answer.lower()
    assert word in answer
    assert b"access-control-allow-origin" in answer.lower()
