"""Requests to a service that has no replica wait until it has one."""

from __future__ import annotations

import asyncio
import json

import pytest
import websockets

from gateway.schema import Hold
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Answer, Gateway, until
from tests.integration.gateway.held import HEAD, is_held

pytestmark = pytest.mark.asyncio


async def test_answers_once_a_replica_is_ready(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    waiting = asyncio.create_task(gateway.call("/x?y=1", token=ALICE, method="POST", data=b"body"))
    await is_held(control, 1)
    await control.put(service("hello", target.address))
    answer = await waiting

    assert (answer.status, answer.json["path"], answer.json["length"]) == (200, "/x?y=1", 4)
    assert 0 < float(answer.headers["x-cold-start"]) < 20
    assert answer.header_of_request("x-forwarded-for") == ["127.0.0.1"]
    assert not [name for name, _ in answer.json["headers"] if "dstack" in name]
    assert answer.header_of_request("authorization") == []
    assert "x-cold-start" not in (await gateway.call(token=ALICE)).headers


async def test_answers_500_requests_at_once(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep
    bodies = [f"body {number}".encode() for number in range(500)]
    calls = [gateway.call(token=ALICE, method="POST", data=body) for body in bodies]
    waiting = asyncio.gather(*calls)
    await is_held(control, 1)
    await control.put(service("hello", target.address))
    answers = await waiting

    assert {answer.status for answer in answers} == {200}
    assert len(target.seen) == 500


async def test_asks_for_the_token_first(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, _, _ = asleep

    assert (await gateway.call()).status == 401


async def test_forgets_a_caller_who_leaves(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep
    _, small = await asyncio.open_connection("127.0.0.1", gateway.port)
    small.write(b"GET /small HTTP/1.1\r\n" + HEAD + b"\r\n")
    _, large = await asyncio.open_connection("127.0.0.1", gateway.port)
    large.write(b"PUT /large HTTP/1.1\r\nContent-Length: 9000000\r\n" + HEAD + b"\r\n")
    large.write(b"x" * 1_000_000)
    await is_held(control, 2)
    seen = len(control.statuses)
    small.close()
    large.transport.abort()
    await control.wait_status(lambda status: status.held == {}, since=seen)
    await control.put(service("hello", target.address))
    answer = await gateway.call("/next", token=ALICE)

    assert answer.status == 200
    assert target.seen == ["/next"]


async def test_bounds_how_many_wait_and_how_long(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, _ = asleep
    bounds = Hold(max_requests=3, timeout_seconds=1.5)
    await control.applied(await control.put(service("hello", hold=bounds)))
    answers = await asyncio.gather(*(gateway.call(token=ALICE) for _ in range(5)))
    page = await gateway.call(token=ALICE, headers={"Accept": "text/html"})

    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}
    assert answers[0].json["error"]["code"] == "no_replica"
    assert (page.status, page.headers["content-type"]) == (503, "text/html; charset=utf-8")


async def test_holds_nothing_for_a_service_that_will_not_wake(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, _ = asleep
    await control.applied(await control.put(service("hello", awake=False)))

    assert (await gateway.call(token=ALICE)).status == 503


async def test_lets_go_when_the_service_is_gone(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, _ = asleep
    waiting = asyncio.create_task(gateway.call(token=ALICE))
    await is_held(control, 1)
    await control.drop(service("hello"))

    assert (await waiting).status == 503


async def test_holds_a_websocket(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep

    async def talk() -> str | bytes:
        async with websockets.connect(
            "ws://hello.localhost/ws",
            host="127.0.0.1",
            port=gateway.port,
            proxy=None,
            additional_headers={"Authorization": f"Bearer {ALICE}"},
            open_timeout=20,
        ) as socket:
            await socket.send("hello")
            return await socket.recv()

    talking = asyncio.create_task(talk())
    await is_held(control, 1)
    await control.put(service("hello", target.address))

    assert await talking == "hello"


async def test_streams_what_was_held(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"GET /wait HTTP/1.1\r\n" + HEAD + b"\r\n")
    await is_held(control, 1)
    await control.put(service("hello", target.address))
    async with asyncio.timeout(20):
        await reader.readuntil(b"first\n")
        target.go_on.set()
        await reader.readuntil(b"second\n")
    writer.close()


async def test_waits_for_a_replica_in_place_of_one_that_died(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    dying = await Target(name="dying").start()
    await control.applied(await control.put(service("hello", dying.address)))
    first = await gateway.call(token=ALICE)
    await dying.stop()
    waiting = [asyncio.create_task(gateway.call(token=ALICE)) for _ in range(20)]
    await is_held(control, 20)
    await control.put(service("hello", target.address))
    answers: list[Answer] = await asyncio.gather(*waiting)

    assert first.json["name"] == "dying"
    assert {(answer.status, answer.json["name"]) for answer in answers} == {(200, "t0")}


async def test_lets_a_replica_have_no_more_than_it_bears(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    await control.applied(await control.put(service("hello", target.address, max_concurrency=2)))
    busy = [asyncio.create_task(gateway.call("/wait", token=ALICE)) for _ in range(6)]
    await until(lambda: len(target.seen) == 2)
    await asyncio.sleep(0.3)
    at_once = len(target.seen)
    await control.applied(await control.put(service("hello", target.address, max_concurrency=4)))
    await until(lambda: len(target.seen) == 4)
    target.go_on.set()
    answers = await asyncio.gather(*busy)

    assert at_once == 2
    assert {answer.status for answer in answers} == {200}
    assert len(target.seen) == 6


async def test_bounds_how_many_wait_for_their_turn(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bounded = service(
        "hello", target.address, max_concurrency=1, hold=Hold(max_requests=3, timeout_seconds=60)
    )
    await control.applied(await control.put(bounded))
    first = [asyncio.create_task(gateway.call("/wait", token=ALICE)) for _ in range(4)]
    await until(lambda: control.in_flight("e-hello") == 4)
    refused = [await gateway.call(token=ALICE, method="POST", data=b"x") for _ in range(2)]
    page = await gateway.call(token=ALICE, headers={"Accept": "text/html"})
    await control.applied(
        await control.put(bounded.model_copy(update={"hold": Hold(max_requests=4)}))
    )
    one_more = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: control.in_flight("e-hello") == 5)
    target.go_on.set()
    answers = await asyncio.gather(*first, one_more)

    assert [(each.status, each.headers["retry-after"]) for each in refused] == [(503, "5")] * 2
    assert refused[0].json["error"]["code"] == "no_replica"
    assert (page.status, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert {answer.status for answer in answers} == {200}


async def test_lets_nobody_wait_for_a_turn_but_uses_every_one(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    strict = service("hello", target.address, max_concurrency=1, hold=Hold(max_requests=0))
    await control.applied(await control.put(strict))
    busy = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: len(target.seen) == 1)
    refused = await gateway.call(token=ALICE)
    target.go_on.set()

    assert (refused.status, (await busy).status) == (503, 200)
    assert (await gateway.call(token=ALICE)).status == 200


async def test_what_waits_for_its_turn_waits_on_when_the_last_replica_dies(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    dying = await Target(name="dying").start()
    await control.applied(await control.put(service("hello", dying.address, max_concurrency=1)))
    broken = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: len(dying.seen) == 1)
    waiting = [asyncio.create_task(gateway.call(token=ALICE)) for _ in range(5)]
    await until(lambda: control.in_flight("e-hello") == 6)
    await dying.stop()
    await is_held(control, 5)
    await control.put(service("hello", target.address, max_concurrency=1))
    answers = await asyncio.gather(*waiting)
    await asyncio.gather(broken, return_exceptions=True)

    assert {(answer.status, answer.json["name"]) for answer in answers} == {(200, "t0")}


async def test_a_strangers_key_waits_for_nothing(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, _ = asleep
    await control.applied(await control.put(key("dsk_u_carol", projects=["p9"])))

    assert (await gateway.call(token="dsk_u_carol")).status == 403
    assert json.dumps(control.statuses[-1].held) == "{}"
