"""A rate limit of a path holds for every spelling of it that a server may read alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.schema import Model, RateLimit
from tests.fakes.control_plane_gateway import service
from tests.integration.gateway.harness import ALICE, Answer, Gateway, hello

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONCE_A_DAY = 1 / 86_400
LIMITED = [
    "/lim",
    "/lim/x",
    "/lim;a",
    "/lim?x=/../y",
    "//lim",
    "///lim//x",
    "/./lim",
    "/.//./lim",
    "/a/../lim",
    "/a/b/../../lim",
    "/a/./..//lim",
    "/lim/../lim",
    "/lim/.",
    "/lim/x/..",
    "/../lim",
    "/../../lim",
    "/%6cim",
    "/%6Cim",
    "/%2e/lim",
    "/%2E%2e/lim",
    "/a/%2e./lim",
    "/%2flim",
    "/%2Flim",
    "/a%2f..%2flim",
    "//%6cim",
    "/%2e%2f%6c%69%6d",
    # No escapes: a server takes them as they are.
    "/lim%zz",
    "/lim/%",
    "/lim/%e",
    "/x%/../lim",
    "/lim%00",
    "http://{host}//lim",
    "/a/.." * 8000 + "/lim",
    "/." * 20_000 + "/lim",
    "/%2e" * 10_000 + "//lim",
]
FREE = [
    "/",
    "//",
    "/..",
    "/other",
    "/a//lim",
    "/a/./lim",
    "/lim/../other",
    "/lim%2f..%2fother",
    # Resolved once: what a server reads here is `%6cim`.
    "/%256cim",
    "/%252flim",
    "/%252e%252e/lim",
    "/.lim",
    "/..lim",
    "/...//lim",
    "/%",
    "/%zz",
]
MOUNTED = ["{at}/lim", "{at}//lim", "{at}/a/../lim", "{at}/%2flim", "{at}/../../../lim"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with hello(tmp_path_factory.mktemp("spellings")) as (gateway, targets):
        address = targets[0].address
        limits = [RateLimit(prefix="/lim", rps=ONCE_A_DAY)]
        chats = [RateLimit(prefix="/v1/chat", rps=ONCE_A_DAY)]
        names = ("spelt", "mounted", "kept")
        services = [service(name, address, rate_limits=limits) for name in names]
        services.append(service("chat", address, model=Model(name="chat"), rate_limits=chats))
        services.append(service("late", address, model=Model(name="late"), rate_limits=chats))
        await gateway.control.applied(await gateway.control.put(*services))
        yield gateway


async def ask(gateway: Gateway, host: str, path: str) -> tuple[int, str]:
    """Ask for a path that no client tidies; return the status and the path that was served."""
    head = f"GET {path.format(host=host)} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
    text = f"{head}Authorization: Bearer {ALICE}\r\n\r\n".encode("latin-1")
    head_bytes, _, body = (await gateway.raw(text)).partition(b"\r\n\r\n")
    status = int(head_bytes.split(b" ", 2)[1])
    return status, json.loads(body)["path"] if status == 200 else ""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def used_up(gateway: Gateway) -> Gateway:
    assert (await ask(gateway, "spelt.localhost", "//lim")) == (200, "//lim")
    return gateway


@pytest.mark.parametrize("path", LIMITED, ids=lambda path: path[:24])
async def test_limits_each_spelling(used_up: Gateway, path: str) -> None:
    assert (await ask(used_up, "spelt.localhost", path))[0] == 429


@pytest.mark.parametrize("path", FREE)
async def test_leaves_other_paths_alone_and_as_they_came(used_up: Gateway, path: str) -> None:
    assert (await ask(used_up, "spelt.localhost", path)) == (200, path)


async def test_limits_each_spelling_below_a_path_route(gateway: Gateway) -> None:
    at = "/services/main/mounted"
    first = await ask(gateway, "localhost", f"{at}/./lim")

    found = [(await ask(gateway, "localhost", path.format(at=at)))[0] for path in MOUNTED]

    assert (first[0], found) == (200, [429] * len(MOUNTED))


@pytest.mark.parametrize(("model", "padding"), [("chat", 0), ("late", 300_000)])
async def test_limits_each_spelling_of_the_openai_api(
    gateway: Gateway, model: str, padding: int
) -> None:
    """The frontend of what the sidecar asks looks at paths alike."""
    body = json.dumps({"x": "x" * padding, "model": model, "y": "y" * padding})

    async def post(path: str) -> Answer:
        text = f"POST {path} HTTP/1.1\r\nHost: gateway.localhost\r\nConnection: close\r\n"
        text += f"Authorization: Bearer {ALICE}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        got = await gateway.raw(text.encode())
        return Answer(int(got.split(b" ", 2)[1]), {}, got)

    first = await post("/v1/chat/completions")
    spellings = [
        "/v1/%63hat/completions",
        "/v1/a/../chat/completions",
        "/v1/%2fchat",
        "/v1/chat%zz",
    ]
    found = [(await post(path)).status for path in spellings]

    assert (first.status, found) == (200, [429] * len(spellings))
