"""Heads of up to 64 kB, of requests and of answers, on every way; longer ones are told so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.control_plane_gateway import service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

KB = 1024
OPENAI = "gateway.localhost"
HEAD = f"Authorization: Bearer {ALICE}\r\nConnection: close\r\n"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("heads")) as (gateway, targets):
        server = await asyncio.start_server(answer_as_asked, "127.0.0.1", limit=KB * KB)
        port = server.sockets[0].getsockname()[1]
        raw = service("raw", f"127.0.0.1:{port}", model=Model(name="raw"))
        await gateway.control.applied(await gateway.control.put(raw))
        async with server:
            yield gateway, targets[0]


async def answer_as_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer `/head/N` with a head of N bytes and say how long the request's was."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(answer_to(head))
    writer.close()


def answer_to(head: bytes) -> bytes:
    path = head.split()[1]
    if path.endswith(b"/close"):
        return b""
    if path.endswith(b"/junk"):
        return b"220 mail.example.com ESMTP\r\n\r\n"
    wanted = int(path.rpartition(b"/")[2]) if b"/head/" in path else 0
    body = json.dumps({"head": len(head)}).encode()
    start = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
    start += b"Content-Length: %d\r\nX-Long: " % len(body)
    return start + b"x" * (wanted - len(start) - 4) + b"\r\n\r\n" + body


async def ask(
    gateway: Gateway, request: str, host: str, head: str, *, body: bytes = b"", more: str = ""
) -> Answer:
    """A request that is written as it stands; `more` is what makes its head long."""
    text = f"{request} HTTP/1.1\r\nHost: {host}\r\n{head}Content-Length: {len(body)}\r\n{more}\r\n"
    raw = await gateway.raw(text.encode() + body)
    lines, _, rest = raw.partition(b"\r\n\r\n")
    rows = [line.split(": ", 1) for line in lines.decode().split("\r\n")[1:]]
    headers = {name.lower(): value for name, value in rows}
    found = json.loads(rest) if "json" in headers.get("content-type", "") else None
    return Answer(int(lines.split()[1]), headers, rest, found)


MORE = pytest.mark.parametrize(
    "more",
    [
        f"X-Long: {'x' * 20 * KB}\r\n",
        f"Cookie: {'x' * 40 * KB}\r\n",
        f"Cookie: {'x' * 63 * KB}\r\n",
        "".join(f"X-{number}: {'x' * 100}\r\n" for number in range(500)),
    ],
    ids=["20 kB", "40 kB", "63 kB", "500 headers"],
)


@MORE
@pytest.mark.parametrize(
    ("host", "path"), [("hello.localhost", "/x"), ("localhost", "/services/main/hello/x")]
)
async def test_passes_long_heads_on(gateway: Gateway, host: str, path: str, more: str) -> None:
    answer = await ask(gateway, f"GET {path}", host, HEAD, more=more)

    assert answer.status == 200
    assert sum(len(value) for _, value in answer.json["headers"]) > 20 * KB


@MORE
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_passes_long_heads_on_to_models(gateway: Gateway, more: str, padding: int) -> None:
    body = json.dumps({"x": "x" * padding, "model": "raw"}).encode()
    answer = await ask(gateway, "POST /v1/chat", OPENAI, HEAD, body=body, more=more)

    assert answer.status == 200
    assert answer.json["head"] > 20 * KB


@MORE
async def test_lists_models_to_long_heads(gateway: Gateway, more: str) -> None:
    assert (await ask(gateway, "GET /v1/models", OPENAI, HEAD, more=more)).status == 200


@pytest.mark.parametrize("kilobytes", [20, 40, 60])
async def test_passes_long_addresses_on(gateway: Gateway, kilobytes: int) -> None:
    path = "/" + "x" * kilobytes * KB
    answer = await ask(gateway, f"GET {path}", "raw.localhost", HEAD)

    assert answer.json["head"] > kilobytes * KB


@pytest.mark.parametrize("kilobytes", [20, 40, 64])
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_passes_long_heads_of_answers_on(
    gateway: Gateway, kilobytes: int, padding: int
) -> None:
    path = f"/head/{kilobytes * KB}"
    body = json.dumps({"x": "x" * padding, "model": "raw"}).encode()
    by_host = await ask(gateway, f"GET {path}", "raw.localhost", HEAD)
    by_model = await ask(gateway, f"POST {path}", OPENAI, HEAD, body=body)

    assert len(by_host.headers["x-long"]) > (kilobytes - 1) * KB
    assert len(by_model.headers["x-long"]) > (kilobytes - 1) * KB


@pytest.mark.parametrize(
    ("host", "path", "shape"),
    [
        ("hello.localhost", "/", "code"),
        ("localhost", "/services/main/hello/", "code"),
        ("unknown.localhost", "/", "code"),
        (OPENAI, "/v1/models", "type"),
        ("localhost", "//v1/models", "type"),
    ],
)
@pytest.mark.parametrize("more", [f"X: {'x' * 66 * KB}\r\n", f"X: {'x' * 33 * KB}\r\n" * 2])
async def test_says_that_a_head_is_too_long(
    gateway: Gateway, host: str, path: str, shape: str, more: str
) -> None:
    answer = await ask(gateway, f"GET {path}", host, HEAD, more=more)

    assert (answer.status, answer.json["error"]["code"]) == (431, "head_too_long")
    assert "64 kB" in answer.json["error"]["message"]
    assert shape in answer.json["error"]


async def test_says_so_of_a_long_address(gateway: Gateway) -> None:
    answer = await ask(gateway, f"GET /{'x' * 66 * KB}", "hello.localhost", HEAD)

    assert answer.status == 431


async def test_never_takes_a_body_for_a_head(gateway: Gateway) -> None:
    answer = await ask(gateway, "POST /", "hello.localhost", HEAD, body=b"x" * 500 * KB)

    assert (answer.status, answer.json["length"]) == (200, 500 * KB)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/close", "closed the connection without an answer"),
        ("/junk", "head of more than 64 kB"),
        (f"/head/{100 * KB}", "head of more than 64 kB"),
    ],
)
@pytest.mark.parametrize(
    ("host", "body", "shape"),
    [("raw.localhost", b"", "code"), (OPENAI, b'{"model": "raw"}', "type")],
)
async def test_says_what_is_wrong_with_an_answer(
    gateway: Gateway, path: str, words: str, host: str, body: bytes, shape: str
) -> None:
    answer = await ask(gateway, f"POST {path}", host, HEAD, body=body)

    assert (answer.status, shape in answer.json["error"]) == (502, True)
    assert words in answer.json["error"]["message"]


@MORE
async def test_holds_long_heads(gateway: Gateway, target: Target, more: str) -> None:
    control, name = gateway.control, f"asleep-{len(more)}"
    await control.applied(await control.put(service(name)))
    held = asyncio.create_task(ask(gateway, "GET /x", f"{name}.localhost", HEAD, more=more))
    await control.wait_status(lambda status: f"e-{name}" in status.held)

    await control.put(service(name, target.address))

    assert (await held).status == 200
