"""Path routes: a service below /services/PROJECT/RUN on the gateway's own names."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.fakes.control_plane_gateway import service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, BOB, Answer, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = "/services/main/hello"


async def ask(gateway: Gateway, path: str, *, method: str = "GET", token: str = ALICE) -> Answer:
    return await gateway.call(path, host=f"localhost:{gateway.port}", token=token, method=method)


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/", "/"),
        ("/a/b?c=d", "/a/b?c=d"),
        ("//x", "//x"),
        ("/a%2Fb", "/a%2Fb"),
        ("/services/main/hello", "/services/main/hello"),
        ("/?q=/services/main/x", "/?q=/services/main/x"),
    ],
)
async def test_passes_the_rest_of_the_path_on(
    gateway: Gateway, target: Target, path: str, seen: str
) -> None:
    await gateway.raw(
        f"GET {HELLO}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {ALICE}\r\n\r\n".encode()
    )

    assert target.seen[-1] == seen


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080"])
async def test_serves_paths_on_own_names(gateway: Gateway, host: str) -> None:
    assert (await gateway.call(HELLO + "/", host=host, token=ALICE)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/services",
        "/services/main",
        "/services/main/",
        "/services/main/hello2/",
        "/services/main/hell",
        "/services//main/hello/",
        "/services/other/hello/",
        "/Services/main/hello/",
        "/x/../services/main/hello/",
        "/services/main/%68ello/",
    ],
)
async def test_knows_no_other_path(gateway: Gateway, path: str) -> None:
    answer = await gateway.raw(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Authorization: Bearer {ALICE}\r\n\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 404")


async def test_serves_no_path_on_a_services_host(gateway: Gateway) -> None:
    answer = await gateway.call(HELLO + "/", token=ALICE)

    assert answer.json["path"] == HELLO + "/"
    assert answer.header_of_request("x-forwarded-prefix") == []


async def test_tells_the_service_its_prefix(gateway: Gateway) -> None:
    answer = await ask(gateway, HELLO + "/x")

    assert answer.header_of_request("x-forwarded-prefix") == [HELLO]


async def test_asks_for_the_same_tokens(gateway: Gateway) -> None:
    nobody = await gateway.call(HELLO + "/", host="localhost")
    bob = await ask(gateway, HELLO + "/", token=BOB)

    assert (nobody.status, bob.status) == (401, 403)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_adds_the_last_slash(gateway: Gateway, method: str) -> None:
    answer = await ask(gateway, f"{HELLO}?a=b/c", method=method)

    assert (answer.status, answer.headers["location"]) == (307, f"{HELLO}/?a=b/c")


async def test_takes_a_post_without_the_last_slash(gateway: Gateway) -> None:
    answer = await ask(gateway, f"{HELLO}?a=b", method="POST")

    assert answer.json["path"] == "/?a=b"


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/", f"{HELLO}/"),
        ("/login?next=/a", f"{HELLO}/login?next=/a"),
        (f"{HELLO}/already", f"{HELLO}/already"),
        ("login", "login"),
        ("//other/x", "//other/x"),
        ("https://elsewhere/x", "https://elsewhere/x"),
        ("http://localhost:{port}/x", f"http://localhost:{{port}}{HELLO}/x"),
        ("http://localhost:{port}", f"http://localhost:{{port}}{HELLO}"),
        ("http://localhost:{port}" + HELLO + "/x", f"http://localhost:{{port}}{HELLO}/x"),
        ("http://localhost:1/x", "http://localhost:1/x"),
    ],
)
async def test_keeps_redirects_inside_the_prefix(
    gateway: Gateway, location: str, seen: str
) -> None:
    header = quote(f"Location:{location.format(port=gateway.port)}", safe="")
    answer = await ask(gateway, f"{HELLO}/answer?status=302&header={header}")

    assert answer.headers["location"] == seen.format(port=gateway.port)


@pytest.mark.parametrize(
    ("cookie", "seen"),
    [
        ("a=b; Path=/", f"a=b; Path={HELLO}/"),
        ("a=b; path=/x; HttpOnly", f"a=b; path={HELLO}/x; HttpOnly"),
        (f"a=b; Path={HELLO}/x", f"a=b; Path={HELLO}/x"),
        ("a=b; HttpOnly", "a=b; HttpOnly"),
        ("path=/x", "path=/x"),
    ],
)
async def test_keeps_cookies_inside_the_prefix(gateway: Gateway, cookie: str, seen: str) -> None:
    header = quote(f"Set-Cookie:{cookie}", safe="")
    answer = await ask(gateway, f"{HELLO}/answer?header={header}")

    assert answer.headers["set-cookie"] == seen


async def test_leaves_answers_of_host_routes_as_they_are(gateway: Gateway) -> None:
    header = quote("Location:/x", safe="")
    answer = await gateway.call(f"/answer?status=302&header={header}", token=ALICE)

    assert answer.headers["location"] == "/x"


async def test_keeps_the_prefix_where_the_service_wants_it(
    gateway: Gateway, target: Target
) -> None:
    whole = service("whole", target.address, strip_prefix=False)
    await gateway.control.applied(await gateway.control.put(whole))

    inner = await ask(gateway, "/services/main/whole/a")
    bare = await ask(gateway, "/services/main/whole")

    assert inner.header_of_request("x-forwarded-prefix") == []
    assert (inner.json["path"], bare.json["path"]) == (
        "/services/main/whole/a",
        "/services/main/whole",
    )
