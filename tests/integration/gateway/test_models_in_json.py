"""HAProxy reads short JSON bodies and the sidecar long ones: both find the same model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.control_plane_gateway import key, service
from tests.integration.gateway.harness import ALICE, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Of the second HAProxy reads the end first, the third is longer than its buffer.
MIDDLE, LONG = b" " * 2000, b" " * 100_000


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """The models a and b, and a key that opens only a."""
    async with hello(tmp_path_factory.mktemp("json")) as (gateway, targets):
        address = targets[0].address
        await gateway.control.applied(
            await gateway.control.put(
                service("a", address, model=Model(name="a", prefix="/a")),
                service("b", address, model=Model(name="b", prefix="/b")),
                key("dsk_s_a", endpoints=["e-a"]),
            )
        )
        yield gateway


async def ask(gateway: Gateway, body: bytes, token: str = ALICE) -> Answer:
    return await gateway.call(
        "/v1/chat/completions",
        host="gateway.localhost",
        token=token,
        method="POST",
        data=body,
        headers={"Content-Type": "application/json"},
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages": [{"model": "b"}], "model": "a"}',
        b'{"x": {"model": "b", "y": {"model": "b"}}, "model": "a"}',
        b'{"model": "a", "x": {"model": "b"}}',
        b'{"x": "\\"model\\": \\"b\\"", "model": "a"}',
        b'{"x": "model", "y": "b", "model": "a"}',
        b'{"Model": "b", "model ": "b", "model": "a"}',
        b'{"mod\\u0065l": "a"}',
        b'{"model": "\\u0061"}',
        b'{"x": ' + b"9" * 400 + b', "y": 1e999, "model": "a"}',
        b'\xef\xbb\xbf{"model": "a"}',
        b'\n\t {"model"\n:\t"a"}',
        b'{"model": "a", "model": "a"}',
    ],
)
@pytest.mark.parametrize("before", [b"", MIDDLE, LONG])
async def test_finds_the_outermost_model(gateway: Gateway, body: bytes, before: bytes) -> None:
    sent = body.replace(b"{", b"{" + before, 1)
    answer = await ask(gateway, sent)

    assert (answer.status, answer.json["path"]) == (200, "/a/chat/completions")
    assert answer.json["length"] == len(sent)


A_SEES_IT, NOBODY_SEES_IT = (200, "/a/chat/completions"), (404, None)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b'{"model": "a", "model": "b"}', []),
        (b'{"model": "b", "model": "a"}', [b"", LONG]),
        (b'{"model": "a", "mod\\u0065l": "b"}', []),
        (b'{"mod\\u0065l": "b", "model": "a"}', [LONG]),
        (b'{"model": "a", "x": 1} {"model": "b"}', []),
        (b'{"model": "a", "broken', []),
    ],
)
@pytest.mark.parametrize("before", [b"", MIDDLE, LONG])
async def test_opens_no_other_service_by_a_second_model(
    gateway: Gateway, body: bytes, refused: list[bytes], before: bytes
) -> None:
    """Whichever is taken, only a service that the key opens sees the body."""
    answer = await ask(gateway, body.replace(b"{", b"{" + before, 1), "dsk_s_a")

    found = (answer.status, answer.json.get("path"))
    assert found == (NOBODY_SEES_IT if before in refused else A_SEES_IT)


@pytest.mark.parametrize("before", [b"", MIDDLE, LONG])
@pytest.mark.parametrize(
    "body",
    [b'{"x": 1}', b'{"x": {"model": "a"}}', b'{"model": null}', b'{"model": ["a"]}'],
)
async def test_names_the_missing_field(gateway: Gateway, body: bytes, before: bytes) -> None:
    answer = await ask(gateway, body.replace(b"{", b"{" + before, 1))

    error = answer.json["error"]
    assert (answer.status, error["code"], error["param"]) == (400, "missing_model", "model")
    assert error["type"] == "invalid_request_error"
    assert "`model`" in error["message"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
async def test_wants_utf_8(gateway: Gateway, encoding: str) -> None:
    answer = await ask(gateway, '{"model": "a"}'.encode(encoding))

    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")
    assert "UTF-8" in answer.json["error"]["message"]
