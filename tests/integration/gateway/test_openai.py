"""The OpenAI API: the body's model finds the service, whatever its length and form."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from gateway.schema import Model
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENAI = "gateway.localhost"
CHAT = "/v1/chat/completions"
LLAMA, ECHO, OTHER = "meta/Llama 3 é", "echo", "bobs"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def models(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    folder: Path = tmp_path_factory.mktemp("openai")
    async with hello(folder) as (gateway, targets):
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("llama", address, model=Model(name=LLAMA, created_at=1.5)),
                service("echo", address, model=Model(name=ECHO, prefix="/deep:er/v2")),
                service("bobs", address, project="p2", model=Model(name=OTHER)),
                service("bare", address, auth=False, model=Model(name="bare", prefix="")),
                key("dsk_s_echo", endpoints=["e-echo"]),
            )
        )
        yield gateway, targets[0]


@pytest.fixture
def gateway(models: tuple[Gateway, Target]) -> Gateway:
    return models[0]


@pytest.fixture
def target(models: tuple[Gateway, Target]) -> Target:
    return models[1]


async def ask(gateway: Gateway, body: Any, path: str = CHAT, **more: Any) -> Answer:
    sent = {"token": ALICE, "host": OPENAI, **more}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **sent.pop("headers", {})}
    return await gateway.call(path, method="POST", data=data, headers=headers, **sent)


LONGER = {"messages": "x" * 5_000}
LONG = {"messages": "x" * 3_000_000}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"model": LLAMA}, "/v1/chat/completions"),
        ({"messages": [], "model": LLAMA}, "/v1/chat/completions"),
        ({"model": LLAMA, **LONG}, "/v1/chat/completions"),
        ({**LONG, "model": LLAMA}, "/v1/chat/completions"),
        ({"model": ECHO}, "/deep:er/v2/chat/completions"),
        ({**LONG, "model": ECHO}, "/deep:er/v2/chat/completions"),
        ({"model": "bare"}, "/chat/completions"),
        ({**LONGER, "model": LLAMA}, "/v1/chat/completions"),
        ({**LONGER, "model": ECHO, "stream": False}, "/deep:er/v2/chat/completions"),
        ({**LONGER, "model": ECHO, "stop": ["}"]}, "/deep:er/v2/chat/completions"),
        ({**LONGER, "model": ECHO, "x": [{"model": "bare"}]}, "/deep:er/v2/chat/completions"),
        ({"x": [{"model": "bare"}], **LONGER, "model": ECHO}, "/deep:er/v2/chat/completions"),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
async def test_finds_the_service_of_a_model(
    gateway: Gateway, body: dict[str, Any], path: str, ascii_only: bool
) -> None:
    sent = json.dumps(body, ensure_ascii=ascii_only).encode()
    answer = await ask(gateway, sent)

    assert (answer.status, answer.json["path"]) == (200, path)
    assert answer.json["length"] == len(sent)
    assert not [name for name, _ in answer.json["headers"] if "dstack" in name]
    assert answer.header_of_request("authorization") == []
    assert answer.header_of_request("x-forwarded-for") == ["127.0.0.1"]


@pytest.mark.parametrize(
    "name",
    ["m", "M", "ab", "abc", "a+b/c?d", "~~~", 'say "x"', "back\\slash", "日本語", "?" * 256],
)
async def test_finds_a_model_of_any_name(gateway: Gateway, target: Target, name: str) -> None:
    slug = f"named-{name.encode().hex()[:40]}"
    named = service(slug, target.address, model=Model(name=name, prefix=f"/{slug}"))
    await gateway.control.applied(await gateway.control.put(named))

    short = await ask(gateway, {"model": name})
    await gateway.control.applied(await gateway.control.drop(named))
    gone = await ask(gateway, {"model": name})

    assert (short.status, short.json["path"]) == (200, f"/{slug}/chat/completions")
    assert (gone.status, gone.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("/v1/completions", "/v1/completions"),
        ("/completions", "/v1/completions"),
        ("/embeddings?a=b", "/v1/embeddings?a=b"),
        ("/v1/audio/speech", "/v1/audio/speech"),
    ],
)
async def test_takes_every_path_with_and_without_version(
    gateway: Gateway, asked: str, got: str
) -> None:
    assert (await ask(gateway, {"model": LLAMA}, asked)).json["path"] == got
    assert (await ask(gateway, {**LONG, "model": LLAMA}, asked)).json["path"] == got


async def test_lets_no_caller_name_headers_to_drop(gateway: Gateway) -> None:
    named = {"Connection": "X-Forwarded-For, Content-Type, X-Dstack-Key"}
    answer = await ask(gateway, {**LONG, "model": LLAMA}, headers=named)

    assert answer.header_of_request("x-forwarded-for") == ["127.0.0.1"]
    assert answer.header_of_request("content-type") == ["application/json"]


async def test_lets_no_caller_put_headers_before_the_next_request(gateway: Gateway) -> None:
    """Trailers of a chunked body, on a connection between us that the next caller's comes by."""
    body = b'{"model": "echo"}'
    for _ in range(20):
        trailing = (
            f"POST {CHAT} HTTP/1.1\r\nHost: {OPENAI}\r\nAuthorization: Bearer {BOB}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
            f"{len(body):x}\r\n{body.decode()}\r\n0\r\nX-Dstack-Key: k\r\nX-Evil: 1\r\n\r\n"
        )
        with contextlib.suppress(TimeoutError):
            await gateway.raw(trailing.encode(), seconds=0.05)
        answer = await ask(gateway, {**LONG, "model": LLAMA})
        assert answer.status == 200
        assert answer.header_of_request("x-evil") == []


async def test_a_chunked_request_is_the_last_on_a_connection_to_the_sidecar(
    gateway: Gateway,
) -> None:
    door = str(gateway.home / "data" / "openai.sock")
    reader, writer = await asyncio.open_unix_connection(door)
    writer.write(
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\n{}\r\n0\r\nX-Evil: 1\r\n\r\nGET /models HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    async with asyncio.timeout(20):
        found = await reader.read()
    writer.close()

    assert found.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in found


@pytest.mark.parametrize("body", [{"model": LLAMA}, {**LONG, "model": LLAMA}])
async def test_reads_no_compressed_body(gateway: Gateway, body: dict[str, Any]) -> None:
    """One that is small here may be huge once it is read."""
    sent = gzip.compress(json.dumps(body).encode())
    answer = await ask(gateway, sent, headers={"Content-Encoding": "gzip"})

    assert (answer.status, answer.json["error"]["code"]) == (415, "unsupported_encoding")


async def test_serves_the_api_on_its_own_names_below_v1(gateway: Gateway) -> None:
    found = await ask(gateway, {"model": LLAMA}, host="localhost:8080")
    bare = await ask(gateway, {"model": LLAMA}, "/chat/completions", host="localhost:8080")

    assert (found.status, bare.status) == (200, 404)


async def test_reads_the_model_of_a_form(gateway: Gateway) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"RIFF" * 50_000, filename="a.wav", content_type="audio/wav")
    form.add_field("model", LLAMA)
    answer = await gateway.call(
        "/v1/audio/transcriptions", host=OPENAI, token=ALICE, method="POST", data=form
    )

    assert (answer.status, answer.json["path"]) == (200, "/v1/audio/transcriptions")
    assert answer.json["length"] > 200_000


async def test_takes_chunked_bodies(gateway: Gateway) -> None:
    long = b'{"messages": "' + b"x" * 100_000 + b'",'

    async def pieces() -> AsyncIterator[bytes]:
        yield long
        yield b'"model": "echo"}'

    answer = await gateway.call(CHAT, host=OPENAI, token=ALICE, method="POST", data=pieces())

    assert answer.json["length"] == len(long) + len('"model": "echo"}')


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "missing_model"),
        (b"hello", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b"{}", 400, "missing_model"),
        (b'{"model": null}', 400, "missing_model"),
        (b'{"model": "unknown"}', 404, "model_not_found"),
        (b'{"model": "bobs"}', 404, "model_not_found"),
        (b'{"model": "x; disable frontend services"}', 404, "model_not_found"),
        (b'{"model": "' + b"n" * 30_000 + b'"}', 400, "missing_model"),
        (b"\x00\xff", 400, "invalid_json"),
    ],
)
async def test_says_what_is_wrong_with_a_body(
    gateway: Gateway, body: bytes, status: int, code: str
) -> None:
    answer = await ask(gateway, body)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_refuses_a_body_that_is_too_long(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST {CHAT} HTTP/1.1\r\nHost: {OPENAI}\r\nAuthorization: Bearer {ALICE}\r\n"
        f"Content-Length: 200000000\r\n\r\n".encode()
        + b" " * 50_000
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()

    assert b" 413 " in head.splitlines()[0]


async def test_wants_a_token_before_it_reads(gateway: Gateway) -> None:
    answer = await ask(gateway, {"model": LLAMA}, token=None)

    assert answer.status == 401
    assert answer.json["error"]["type"] == "authentication_error"
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_lists_what_the_token_may_use(gateway: Gateway) -> None:
    async def names(token: str, path: str = "/v1/models") -> list[str]:
        answer = await gateway.call(path, host=OPENAI, token=token)
        return [each["id"] for each in answer.json["data"]]

    assert await names(ALICE) == ["bare", ECHO, LLAMA]
    assert await names(ALICE, "/models") == ["bare", ECHO, LLAMA]
    assert await names(BOB) == [OTHER]
    assert await names("dsk_s_echo") == [ECHO]


async def test_describes_one_model(gateway: Gateway) -> None:
    found = await gateway.call("/v1/models/echo", host=OPENAI, token=ALICE)
    missing = await gateway.call("/v1/models/bobs", host=OPENAI, token=ALICE)

    assert found.json["id"] == ECHO
    assert found.json["object"] == "model"
    assert missing.json["error"]["code"] == "model_not_found"


async def test_answers_browsers_that_ask_first(gateway: Gateway) -> None:
    answer = await gateway.call(
        CHAT,
        host=OPENAI,
        method="OPTIONS",
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_believes_no_header_that_is_only_ours(gateway: Gateway) -> None:
    forged = {"X-Dstack-Key": "k", "X-Dstack-Endpoint": "e-bobs", "X-Dstack-Slot": "s1"}
    listed = await gateway.call("/v1/models", host=OPENAI, token=BOB, headers=forged)
    asked = await ask(gateway, {"model": OTHER}, headers=forged)

    assert [each["id"] for each in listed.json["data"]] == [OTHER]
    assert asked.status == 404


async def test_gives_nobody_the_cookies_of_another_caller(gateway: Gateway) -> None:
    given = await ask(gateway, {**LONG, "model": "bare"}, "/answer?header=Set-Cookie:of=alice")
    after = [await ask(gateway, {**LONG, "model": name}) for name in ("bare", LLAMA)]

    assert given.headers["set-cookie"] == "of=alice"
    assert [each.header_of_request("cookie") for each in after] == [[], []]


async def test_streams_byte_for_byte(gateway: Gateway, target: Target) -> None:
    target.go_on.clear()
    for padding in ("", "x" * 100_000):
        body = json.dumps({"x": padding, "model": "bare"}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(
            f"POST /stream HTTP/1.1\r\nHost: {OPENAI}\r\nAuthorization: Bearer {ALICE}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        async with asyncio.timeout(20):
            await reader.readuntil(b"first\n")
            target.go_on.set()
            await reader.readuntil(b"second\n")
        writer.close()
        target.go_on.clear()


@pytest.mark.parametrize("path", ["/v1/x%3Fy", "/v1/x%23y", "/v1/files%2Fa?b=%20", "/%2e%2e%2fx"])
async def test_passes_the_path_on_as_it_was_written(gateway: Gateway, path: str) -> None:
    url = URL(f"{gateway.url}{path}", encoded=True)
    found = []
    for body in ({"model": LLAMA}, {**LONG, "model": LLAMA}):
        assert gateway.session is not None
        headers = {"Host": OPENAI, "Authorization": f"Bearer {ALICE}"}
        async with gateway.session.post(url, json=body, headers=headers) as answer:
            found.append((await answer.json())["path"])

    assert found == ["/v1" + path.removeprefix("/v1")] * 2


async def test_cuts_an_answer_off_where_the_service_did(gateway: Gateway) -> None:
    """An error that is written into an answer that has begun would be taken for its end."""
    body = json.dumps({"x": "x" * 100_000, "model": "bare"}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        f"POST /broken HTTP/1.1\r\nHost: {OPENAI}\r\nAuthorization: Bearer {ALICE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    got = await asyncio.wait_for(reader.read(), 20)
    writer.close()

    assert got.startswith(b"HTTP/1.1 200")
    assert got.partition(b"\r\n\r\n")[2] == b"begun"
