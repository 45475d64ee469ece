"""Requests that the gateway tells the control plane one by one."""

from __future__ import annotations

import asyncio
import contextlib
import functools

import aiohttp
import pytest
import websockets

from gateway.schema import RateLimit, Request
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.counted import ask, classes, load_of, model, same_target
from tests.integration.gateway.harness import ALICE, BOB, Gateway, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def told(gateway: Gateway, endpoint: str, count: int) -> list[Request]:
    """Wait for `count` requests of an endpoint, told one by one."""
    await until(lambda: len(gateway.control.requests(endpoint)) >= count)
    return gateway.control.requests(endpoint)


async def test_tells_requests_one_by_one(gateway: Gateway) -> None:
    await same_target(gateway, "listed", RateLimit(prefix="/v1", rps=0.01))
    here = functools.partial(gateway.call, host="listed.localhost", token=ALICE)
    named = await here("/a%2Fb/?secret=1", headers={"X-Request-Id": "mine:1"})
    unnamed = await here("/answer?status=404", method="POST", data=b"secret")
    await gateway.call(
        "/services/main/listed/sse?count=3&pause=0.05", host="localhost", token=ALICE
    )
    await gateway.raw(
        b"GET /'|}<%zz;x?y HTTP/1.1\r\nHost: listed.localhost\r\nConnection: close\r\n"
        b"Authorization: Bearer " + ALICE.encode() + b"\r\n\r\n"
    )
    await here("/" + "p" * 5000, method="PROPFIND")
    with contextlib.suppress(aiohttp.ClientError):
        await here("/broken", method="POST")
    await gateway.call("/services/main/listed/x", host="localhost")
    await gateway.call("/", host="listed.localhost", token=BOB)
    await here("/v1")
    await here("/v1")

    found = await told(gateway, "e-listed", 10)
    replica = gateway.control.endpoints["e-listed"].replicas[0].id
    alice, bob = key(ALICE).id, key(BOB).id
    assert [(e.method, e.path, e.status, e.key, e.replica, e.ended) for e in found] == [
        ("GET", "/a%2Fb/", 200, alice, replica, ""),
        ("POST", "/answer", 404, alice, replica, ""),
        ("GET", "/sse", 200, alice, replica, ""),
        ("GET", "/'|}<%zz;x", 200, alice, replica, ""),
        ("PROPFIND", "/" + "p" * 196 + "...", 200, alice, replica, ""),
        ("POST", "/broken", 200, alice, replica, "replica"),
        ("GET", "/x", 401, "", "", ""),
        ("GET", "/", 403, bob, "", ""),
        ("GET", "/v1", 200, alice, replica, ""),
        ("GET", "/v1", 429, alice, "", ""),
    ]
    assert [each.id for each in found[:2]] == ["mine:1", unnamed.headers["x-request-id"]]
    assert named.headers["x-request-id"] == "mine:1"
    stream = found[2]
    assert stream.first_byte_ms is not None
    # Two pauses lie between the first event and the last, however slow the machine is.
    assert 0 < stream.first_byte_ms < stream.total_ms - 50
    assert all(each.held_ms < 100 and each.weight == 1 for each in found)
    assert "secret" not in "".join(each.model_dump_json() for each in found)


async def test_tells_of_requests_that_were_held_or_given_up(
    gateway: Gateway, target: Target
) -> None:
    await gateway.control.applied(await gateway.control.put(service("drowsy")))
    here = functools.partial(gateway.call, host="drowsy.localhost", token=ALICE)
    given_up = asyncio.create_task(here("/given-up"))
    waits = asyncio.create_task(here("/waits"))
    await until(lambda: load_of(gateway.control, "e-drowsy").held == 2)
    given_up.cancel()
    await until(lambda: load_of(gateway.control, "e-drowsy").held == 1)
    await same_target(gateway, "drowsy")
    assert "x-dstack-server" not in (await waits).headers
    async with websockets.connect(
        "ws://drowsy.localhost/ws",
        host="127.0.0.1",
        port=gateway.port,
        proxy=None,
        additional_headers={"Authorization": f"Bearer {ALICE}"},
    ) as socket:
        await socket.send("text")
        await socket.recv()
    target.left_early.clear()
    left = asyncio.create_task(here("/sse?count=1000&pause=0.02"))
    await told(gateway, "e-drowsy", 3)
    await until(lambda: load_of(gateway.control, "e-drowsy").in_flight == 1)
    left.cancel()
    await until(target.left_early.is_set)

    found = await told(gateway, "e-drowsy", 4)
    replica = gateway.control.endpoints["e-drowsy"].replicas[0].id
    assert [(each.path, each.status, each.replica, each.ended) for each in found] == [
        ("/given-up", 499, "", "caller"),
        ("/waits", 200, replica, ""),
        ("/ws", 101, replica, ""),
        ("/sse", 200, replica, "caller"),
    ]
    assert found[0].held_ms > 0
    assert found[0].first_byte_ms is None
    assert 0 < found[1].held_ms <= found[1].total_ms
    assert found[2].held_ms == 0


async def test_tells_what_requests_of_a_model_used(gateway: Gateway) -> None:
    await model(gateway, "spends")
    options = {"include_usage": True}
    await ask(gateway, "spends")
    await ask(gateway, "spends", stream=True, stream_options=options)
    await ask(gateway, "spends", stream=True, stream_options=options, thinks=0.3)
    last = await ask(gateway, "spends", filler=100_000)

    found = await told(gateway, "e-spends", 4)
    assert [(each.path, each.tokens_in, each.tokens_out) for each in found] == [
        ("/usage/chat/completions", 7, 3)
    ] * 4
    assert found[3].id == last.headers["x-request-id"]
    # Its headers came before that, which is no token yet.
    assert found[2].first_byte_ms is not None
    assert 250 < found[2].first_byte_ms <= found[2].total_ms


async def test_tells_no_request_that_nobody_wants_to_hear_of(gateway: Gateway) -> None:
    await same_target(gateway, "unheard")
    gateway.control.request_rows = 0
    await gateway.control.applied(await gateway.control.put(service("another")))
    await gateway.call(host="unheard.localhost", token=ALICE)
    await until(lambda: classes(gateway.control, "e-unheard", ALICE)[1] == 1)
    gateway.control.request_rows = 20
    await gateway.control.applied(await gateway.control.put(service("another")))
    await gateway.call("/heard", host="unheard.localhost", token=ALICE)

    assert [each.path for each in await told(gateway, "e-unheard", 1)] == ["/heard"]
