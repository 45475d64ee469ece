"""The OpenAI API finds what clients mean whose base URL ends in a slash, or has the version too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.control_plane_gateway import service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["deep/er/m", "s3://bucket/m", "plain"]
HOSTS = pytest.mark.parametrize("host", ["gateway.localhost", "localhost:8080", "10.0.0.5"])


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("paths")) as (gateway, targets):
        entries = [
            service(f"m{number}", targets[0].address, model=Model(name=name))
            for number, name in enumerate(NAMES)
        ]
        tgi = service("tgi", targets[0].address, model=Model(name="tgi", format="tgi"))
        await gateway.control.applied(await gateway.control.put(*entries, tgi))
        yield gateway, targets[0]


async def ask(
    gateway: Gateway, host: str, path: str, *, body: bytes = b"", token: str = ALICE
) -> Answer:
    """The path goes out as it is written: clients of ours would tidy it."""
    head = (
        f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    raw = await gateway.raw(head.encode() + body)
    text, _, rest = raw.partition(b"\r\n\r\n")
    return Answer(int(text.split()[1]), {}, rest, json.loads(rest) if rest[:1] == b"{" else None)


@HOSTS
@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "///v1/models",
        "/v1//models",
        "/v1/models/",
        "/v1/models//",
        "/v1/./models",
        "/./v1/models",
        "/v1/v1/models",
        "//v1//v1//models//?limit=5",
        "/v1/models?limit=5",
    ],
)
async def test_lists_models(gateway: Gateway, host: str, path: str) -> None:
    answer = await ask(gateway, host, path)

    assert sorted(each["id"] for each in answer.json["data"]) == sorted([*NAMES, "tgi"])


@pytest.mark.parametrize("path", ["//models", "/models/", "/./models/"])
async def test_lists_models_without_version_on_the_apis_host(gateway: Gateway, path: str) -> None:
    assert (await ask(gateway, "gateway.localhost", path)).json["object"] == "list"


@HOSTS
@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("//v1/chat/completions", "/v1/chat/completions"),
        ("/v1//chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat//completions//?a=b//c/", "/v1/chat/completions?a=b//c/"),
        ("/v1/./chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("//v1//v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/a%2F%2Fb/", "/v1/a%2F%2Fb"),
        ("/v1/v1x/.a", "/v1/v1x/.a"),
    ],
)
@pytest.mark.parametrize("padding", [0, 300_000])
async def test_passes_on_the_path_that_is_meant(
    gateway: Gateway, host: str, path: str, seen: str, padding: int
) -> None:
    body = json.dumps({"x": "x" * padding, "model": "plain"}).encode()

    assert (await ask(gateway, host, path, body=body)).json["path"] == seen


@pytest.mark.parametrize("path", ["//v1/chat/completions", "/v1/chat/completions/"])
async def test_knows_the_paths_of_a_translated_model(gateway: Gateway, path: str) -> None:
    answer = await ask(gateway, "localhost", path, body=b'{"model": "tgi"}')

    assert answer.status == 400
    assert "messages" in answer.json["error"]["message"]


@HOSTS
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/models/plain", "plain"),
        ("/v1/models/plain/", "plain"),
        ("//v1//models//plain", "plain"),
        ("/v1/v1/models/plain", "plain"),
        ("/v1/models/deep/er/m", "deep/er/m"),
        ("/v1/models/deep%2Fer%2fm", "deep/er/m"),
        ("/v1//models/deep//er/m/", "deep/er/m"),
        ("/v1/models/s3://bucket/m", "s3://bucket/m"),
        ("/v1/models/s3%3A%2F%2Fbucket%2Fm", "s3://bucket/m"),
    ],
)
async def test_describes_one_model(gateway: Gateway, host: str, path: str, name: str) -> None:
    assert (await ask(gateway, host, path)).json["id"] == name


@HOSTS
@pytest.mark.parametrize("path", ["/v1", "/v1/", "//v1", "/v1//", "/v1?a=b"])
async def test_says_what_the_api_is(gateway: Gateway, host: str, path: str) -> None:
    answer = await ask(gateway, host, path)

    assert answer.status == 200
    assert "/v1/models" in answer.json["message"]


@HOSTS
@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("//v1/models", "dsk_wrong", 401, "invalid_api_key"),
        ("/./v1//chat/completions/", "dsk_wrong", 401, "invalid_api_key"),
        ("//v1/models/nope", ALICE, 404, "model_not_found"),
        ("/v1//nope", ALICE, 404, "unknown_url"),
    ],
)
async def test_refuses_in_the_apis_form(
    gateway: Gateway, host: str, path: str, token: str, status: int, code: str
) -> None:
    answer = await ask(gateway, host, path, token=token)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert answer.json["error"]["type"]


@pytest.mark.parametrize("path", ["//v2/models", "//v1x/models", "/a//v1/models", "/../v1/models"])
async def test_takes_no_other_path_of_the_bare_name(gateway: Gateway, path: str) -> None:
    answer = await ask(gateway, "localhost", path)

    assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["//v1//models/", "/v1/v1/x", "/./", "//"])
async def test_leaves_a_services_paths_alone(gateway: Gateway, target: Target, path: str) -> None:
    await ask(gateway, "hello.localhost", path)

    assert target.seen[-1] == path
