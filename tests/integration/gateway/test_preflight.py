"""Pages of another origin: preflights need no token, and our own errors are theirs to read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.schema import Model, RateLimit
from tests.fakes.control_plane_gateway import service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, BOB, Answer, Gateway, hello, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ORIGIN = "https://app.example.com"
ASKS = {
    "Origin": ORIGIN,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,x-app",
}
ALLOWED = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "PUT",
    "access-control-allow-headers": "authorization,x-app",
    "access-control-max-age": "600",
    "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
}
BY_HOST, BY_PATH = ("hello.localhost", ""), ("localhost", "/services/main/hello")
WAYS = pytest.mark.parametrize(("host", "prefix"), [BY_HOST, BY_PATH])
LONG = {"x": "x" * 100_000}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path_factory.mktemp("preflight")) as (gateway, targets):
        address = targets[0].address
        once = [RateLimit(rps=1 / 60)]
        by_user = [RateLimit(rps=1 / 60, header="authorization")]
        await gateway.control.applied(
            await gateway.control.put(
                service("asleep"),
                service("quiet", address),
                service("opened", address, auth=False),
                service("limited", address).model_copy(update={"rate_limits": once}),
                service("users", address).model_copy(update={"rate_limits": by_user}),
                service("model", address, model=Model(name="m")),
            )
        )
        await gateway.control.put(service("dead", f"127.0.0.1:{free_port()}"))
        broken = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1")
        port = broken.sockets[0].getsockname()[1]
        await gateway.control.put(service("broken", f"127.0.0.1:{port}"))
        async with broken:
            yield gateway, targets[0]


async def ask(gateway: Gateway, path: str, **more: Any) -> Answer:
    return await gateway.call(path, **{"method": "OPTIONS", "headers": ASKS, **more})


@WAYS
async def test_passes_to_the_application_without_a_token(
    gateway: Gateway, host: str, prefix: str
) -> None:
    answer = await ask(gateway, f"{prefix}/cors?a=b", host=host)

    assert (answer.status, answer.json["method"], answer.json["path"]) == (
        200,
        "OPTIONS",
        "/cors?a=b",
    )
    assert answer.header_of_request("origin") == [ORIGIN]
    assert answer.header_of_request("access-control-request-headers") == ["authorization,x-app"]
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("token", [ALICE, BOB, "dsk_u_wrong"])
@pytest.mark.parametrize(
    "header", ["Authorization", "Authentication", "X-Api-Key", "Api-Key", "Proxy-Authorization"]
)
async def test_passes_without_its_credentials(gateway: Gateway, token: str, header: str) -> None:
    sent = {**ASKS, header: f"Bearer {token}", "Cookie": "a=b"}
    answer = await ask(gateway, "/", headers=sent)

    assert answer.status == 200
    assert token.encode() not in answer.body
    assert answer.header_of_request("cookie") == []


@pytest.mark.parametrize(
    "head",
    [
        "Origin: {o}",
        "Access-Control-Request-Method: PUT",
        "Origin: \r\nAccess-Control-Request-Method: PUT",
        "Origin: {o}\r\nAccess-Control-Request-Method: ",
        "Origin: {o}\r\nOrigin: {o}\r\nAccess-Control-Request-Method: PUT",
        "Origin: {o}, {o}\r\nAccess-Control-Request-Method: PUT",
        "Origin: app.example.com\r\nAccess-Control-Request-Method: PUT",
        "Origin: {o}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Method: GET",
        "Origin: {o}\r\nAccess-Control-Request-Method: PU T",
        "Origin: {o}\r\nAccess-Control-Request-Method: PUT\r\nContent-Length: 2",
        "Origin: {o}\r\nAccess-Control-Request-Method: PUT\r\nContent-Length: 10",
        "Origin: {o}\r\nAccess-Control-Request-Method: PUT\r\nTransfer-Encoding: chunked",
        "Origin: {o}\r\nAccess-Control-Request-Method: PUT\r\nConnection: upgrade\r\nUpgrade: x",
    ],
)
async def test_needs_a_token_for_what_is_no_preflight(
    gateway: Gateway, target: Target, head: str
) -> None:
    target.seen.clear()
    text = f"OPTIONS /x HTTP/1.1\r\nHost: hello.localhost\r\n{head.format(o=ORIGIN)}\r\n"
    answer = await gateway.raw(f"{text}Connection: close\r\n\r\n0\r\n\r\n".encode())

    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
    assert target.seen == []


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "options"])
async def test_needs_a_token_for_other_methods(gateway: Gateway, method: str) -> None:
    head = "".join(f"{name}: {value}\r\n" for name, value in ASKS.items())
    answer = await gateway.raw(
        f"{method} / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n{head}\r\n".encode()
    )

    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("origin", ["null", "http://localhost:3000", "chrome-extension://abc"])
async def test_knows_every_kind_of_origin(gateway: Gateway, origin: str) -> None:
    assert (await ask(gateway, "/", headers={**ASKS, "Origin": origin})).status == 200


async def test_takes_an_empty_body_for_none(gateway: Gateway) -> None:
    assert (await ask(gateway, "/", headers={**ASKS, "Content-Length": "0"})).status == 200


async def test_sends_nothing_behind_a_preflight_on(gateway: Gateway, target: Target) -> None:
    """Two on one connection are two requests, and the second one needs its token."""
    target.seen.clear()
    head = "".join(f"{name}: {value}\r\n" for name, value in ASKS.items())
    second = "GET /behind HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n"
    answer = await gateway.raw(
        f"OPTIONS /first HTTP/1.1\r\nHost: hello.localhost\r\n{head}\r\n{second}".encode()
    )

    assert target.seen == ["/first"]
    assert b"HTTP/1.1 401" in answer


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("asleep.localhost", "/x"),
        ("localhost", "/services/main/asleep/x"),
        ("dead.localhost", "/"),
        ("unknown.localhost", "/"),
        ("localhost", "/services/main/unknown/"),
        ("localhost", "/x"),
    ],
)
async def test_allows_what_was_asked_where_no_replica_can(
    gateway: Gateway, host: str, path: str
) -> None:
    answer = await ask(gateway, path, host=host)

    assert (answer.status, answer.body) == (204, b"")
    assert {name: answer.headers.get(name) for name in ALLOWED} == ALLOWED


@pytest.mark.parametrize("host", ["gateway.localhost", "localhost"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "//v1//models/"])
async def test_allows_what_was_asked_of_the_openai_api(
    gateway: Gateway, host: str, path: str
) -> None:
    answer = await ask(gateway, path, host=host)

    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "authorization,x-app"


async def test_wakes_nothing_and_counts_as_nothing(gateway: Gateway) -> None:
    control = gateway.control
    hosts = ("asleep.localhost", "quiet.localhost")
    assert [(await ask(gateway, "/", host=host)).status for host in hosts] == [204, 200]
    await gateway.call(host="opened.localhost")
    await until(lambda: sum(control.counts("e-opened").by_class))

    named = {each.endpoint for scrape in control.stats for each in scrape.counts}
    named |= {each.endpoint for scrape in control.stats for each in scrape.load}
    assert not {"e-asleep", "e-quiet"} & named
    assert not [each for each in control.statuses if each.held]


async def test_leaves_an_open_service_its_own_preflights(gateway: Gateway) -> None:
    answer = await ask(
        gateway, "/", host="opened.localhost", headers={**ASKS, "Authorization": "Basic YTpi"}
    )

    assert answer.header_of_request("authorization") == ["Basic YTpi"]


@pytest.mark.parametrize("host", ["limited.localhost", "users.localhost"])
async def test_is_under_the_services_limit_by_itself(gateway: Gateway, host: str) -> None:
    preflights = [(await ask(gateway, "/", host=host)).status for _ in range(2)]
    requests = [(await gateway.call(host=host, token=ALICE)).status for _ in range(2)]

    assert (preflights, requests) == ([200, 429], [200, 429])


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("/", {"host": "hello.localhost"}, 401),
        ("/", {"host": "hello.localhost", "token": BOB}, 403),
        ("/", {"host": "unknown.localhost"}, 404),
        ("/services/main/hello/", {"host": "localhost"}, 401),
        ("/services/main/unknown/", {"host": "localhost", "token": ALICE}, 404),
        ("/", {"host": "limited.localhost", "token": ALICE}, 429),
        ("/", {"host": "broken.localhost", "token": ALICE}, 502),
        ("/services/main/broken/x", {"host": "localhost", "token": ALICE}, 502),
        ("/services/main/hello", {"host": "localhost", "token": ALICE}, 307),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_lets_pages_read_our_own_errors(
    gateway: Gateway, path: str, more: dict[str, Any], status: int, accept: str
) -> None:
    sent = {"Origin": ORIGIN, "Accept": accept}
    answers = [await gateway.call(path, headers=sent, **more) for _ in range(2)]

    assert answers[1].status == status
    assert answers[1].headers["access-control-allow-origin"] == ORIGIN
    assert answers[1].headers["access-control-allow-credentials"] == "true"


async def test_shows_pages_the_headers_that_say_what_to_do(gateway: Gateway) -> None:
    answer = await gateway.call(headers={"Origin": ORIGIN})
    other = await gateway.call()

    exposed = "Retry-After, WWW-Authenticate, X-Request-Id"
    assert answer.headers["access-control-expose-headers"] == exposed
    assert answer.headers["vary"] == other.headers["vary"] == "Origin"
    assert not [name for name in other.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [("/v1/models", None, 401), ("/v1/nope", ALICE, 404), ("/v1/models/nope", ALICE, 404)],
)
async def test_lets_pages_read_errors_of_the_openai_api(
    gateway: Gateway, path: str, token: str | None, status: int
) -> None:
    answer = await gateway.call(path, host="localhost", token=token, headers={"Origin": ORIGIN})

    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


@WAYS
@pytest.mark.parametrize("status", [200, 204, 307, 401, 403, 404, 429, 500, 502, 503])
async def test_leaves_the_applications_answers_alone(
    gateway: Gateway, host: str, prefix: str, status: int
) -> None:
    own = "header=Access-Control-Allow-Origin:http://other&header=Vary:X"
    with_own, bare = [
        await gateway.call(
            f"{prefix}/answer?status={status}&{query}",
            host=host,
            token=ALICE,
            headers={"Origin": ORIGIN},
        )
        for query in (own, "")
    ]

    assert (with_own.status, with_own.headers["vary"]) == (status, "X")
    assert with_own.headers["access-control-allow-origin"] == "http://other"
    assert not [name for name in bare.headers if name.startswith(("access-control", "vary"))]
