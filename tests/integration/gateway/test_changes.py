"""A table that changes: routes come and go at once, and running traffic notices nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.schema import Hold, Status
from tests.fakes.control_plane_gateway import ControlPlane, key, replica, service
from tests.fakes.target import Target
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, SLOTS, Gateway, Load, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


Fresh = tuple[Gateway, ControlPlane, list[Target]]


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(gateway: Gateway) -> AsyncIterator[Fresh]:
    """The module's gateway with nothing but `hello`, on two new replicas."""
    control = gateway.control
    targets = [await Target(name=f"t{number}").start() for number in range(2)]
    await control.drop(*control.endpoints.values(), *control.keys.values())
    control.statuses.clear()
    hello = service("hello", *(target.address for target in targets))
    await control.applied(await control.put(hello, key(ALICE, projects=["p1"])))
    yield gateway, control, targets
    for target in targets:
        await target.stop()


async def test_opens_a_route_together_with_its_replica(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    await control.put(service("new", target.address))
    seen = set()

    async def is_open() -> bool:
        seen.add((await gateway.call(host="new.localhost", token=ALICE)).status)
        return 200 in seen

    await until(is_open, pause=0.001)

    assert seen <= {404, 200}


async def test_closes_a_route_and_frees_its_slot(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    for number in range(SLOTS + 5):
        gone = service(f"gone{number}", target.address)
        await control.applied(await control.put(gone))
        await control.drop(gone)

    status = await control.applied(await control.put(service("last", target.address)))

    assert status.error == ""
    assert (await gateway.call(host="gone1.localhost", token=ALICE)).status == 404
    assert (await gateway.call(host="last.localhost", token=ALICE)).status == 200


async def test_changes_routes_a_hundred_times_under_load(fresh: Fresh) -> None:
    gateway, control, targets = fresh
    kept, *others = [target.address for target in targets]
    alice = key(ALICE, projects=["p1", "p9"])
    async with Load(gateway, hosts=("hello.localhost", "steady.localhost")) as load:
        load.failures.clear()
        await control.applied(await control.put(service("steady", kept), alice))
        load.failures.clear()
        for number in range(25):
            await control.applied(await control.put(service("hello", kept)))
            await control.put(service(f"side{number}", kept), key(f"t{number}", projects=["p1"]))
            moved = service("hello", *others, auth=number % 2 == 0)
            await control.put(moved.model_copy(update={"project": f"p{1 + 8 * (number % 2)}"}))
            await control.applied(await control.drop(service(f"side{number}")))

    assert load.failures == []
    assert load.count > 100


async def test_drains_a_replica_before_it_is_gone(fresh: Fresh) -> None:
    gateway, control, (old, new) = fresh
    assert gateway.session is not None
    await control.applied(await control.put(service("hello", old.address)))
    waiting = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: "/wait" in old.seen)

    version = await control.put(service("hello", new.address))
    draining = await control.wait_status(lambda s: s.applied >= version)
    names = {(await gateway.call(token=ALICE)).json["name"] for _ in range(10)}
    seen = len(control.statuses)
    old.go_on.set()
    answer = await waiting
    await control.wait_status(lambda s: not s.draining, since=seen)

    assert draining.draining == {replica(old.address).id: 1}
    assert names == {new.name}
    assert answer.body == b"first\nsecond\n"


async def test_a_replica_that_is_taken_back_before_its_successor_is_ready_costs_no_request(
    fresh: Fresh,
) -> None:
    """As where a cloud takes back the machine of the only replica."""
    gateway, control, (old, new) = fresh
    await control.applied(await control.put(service("hello", old.address, hold=Hold())))
    streamed = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: "/wait" in old.seen)
    seen = len(control.statuses)

    version = await control.put(service("hello", hold=Hold()))
    await control.wait_status(lambda s: s.applied >= version, since=seen)
    held = [asyncio.create_task(gateway.call(token=ALICE)) for _ in range(5)]
    await control.wait_status(lambda s: s.held.get("e-hello", 0) == 5, since=seen)
    await control.put(service("hello", new.address, hold=Hold()))
    answers = await asyncio.gather(*held)
    old.go_on.set()

    assert [(each.status, each.json["name"]) for each in answers] == [(200, new.name)] * 5
    assert (await streamed).body == b"first\nsecond\n"
    await control.wait_status(lambda s: not s.draining, since=seen)


async def test_counts_a_websocket_as_in_flight(fresh: Fresh) -> None:
    gateway, control, (old, new) = fresh
    assert gateway.session is not None
    await control.applied(await control.put(service("hello", old.address)))
    headers = {"Host": "hello.localhost", "Authorization": f"Bearer {ALICE}"}
    async with gateway.session.ws_connect(gateway.url + "/ws", headers=headers) as socket:
        version = await control.put(service("hello", new.address))
        status = await control.wait_status(lambda s: s.applied >= version)
        await socket.send_str("still here")

        assert status.draining == {replica(old.address).id: 1}
        assert (await socket.receive()).data == "still here"


async def test_waits_until_a_new_replica_answers(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    late = Target(name="late", port=free_port())
    version = await control.put(service("hello", target.address, late.address))
    status = await control.wait_status(has_reason_for(late))
    async with Load(gateway) as load:
        await late.start()
        await control.applied(version)
        await until(lambda: late.seen)
    await late.stop()

    assert status.applied == version
    assert load.failures == []


def has_reason_for(target: Target) -> Callable[[Status], bool]:
    name = replica(target.address).id

    def accept(status: Status) -> bool:
        return "no connection" in status.pending.get(name, "")

    return accept


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ("{", "invalid json"),
        ('{"version": 99, "whole": true}', "gateway"),
        (
            '{"version": 99, "whole": true, "gateway": "g", "endpoints":'
            ' [{"id": "a\\nb", "version": 9}]}',
            "endpoints.0.id",
        ),
        (
            '{"version": 99, "whole": true, "gateway": "g", "endpoints": [{"id": "a", "version": 9,'
            ' "replicas": [{"id": "r", "address": "127.0.0.1:99999"}]}]}',
            "127.0.0.1:99999",
        ),
    ],
)
async def test_refuses_a_bad_table_and_keeps_the_last(
    fresh: Fresh, instead: str, said: str
) -> None:
    gateway, control, _ = fresh
    control.instead = instead
    await control.tell()

    status = await control.wait_status(lambda s: "refused" in s.error)
    assert said in status.error
    assert (await gateway.call(token=ALICE)).status == 200

    seen = len(control.statuses)
    control.instead = None
    version = await control.put(service("after", fresh[2][0].address))
    await control.wait_status(lambda s: s.applied >= version and not s.error, since=seen)


async def test_says_how_many_services_found_no_slot(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    many = [service(f"many{number}", target.address) for number in range(SLOTS + 2)]
    await control.put(*many)

    status = await control.wait_status(lambda s: "no route" in s.error)

    assert status.error.startswith("3 services have no route")
    assert (await gateway.call(token=ALICE)).status == 200


async def test_writes_whole_maps_for_large_changes(fresh: Fresh) -> None:
    gateway, control, _ = fresh
    many = [key(f"token-{number}", projects=["p1"]) for number in range(2000)]
    await control.applied(await control.put(*many))

    statuses = [(await gateway.call(token=f"token-{number}")).status for number in (0, 999, 1999)]
    await control.applied(await control.drop(*many[1:]))
    after = [(await gateway.call(token=f"token-{number}")).status for number in (0, 999, 1999)]

    assert (statuses, after) == ([200, 200, 200], [200, 401, 401])


async def test_forgets_what_a_whole_table_does_not_name(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    await control.put(service("more", target.address))
    await control.applied(await control.put(service("still", target.address)))
    control.endpoints.clear()
    control.version = 0
    await control.put(service("only", target.address))

    async def is_gone() -> bool:
        return (await gateway.call(token=ALICE)).status == 404

    await until(is_gone)
    assert (await gateway.call(host="only.localhost", token=ALICE)).status == 200


async def test_sends_a_refused_connection_to_another_replica(fresh: Fresh) -> None:
    gateway, control, (dying, healthy) = fresh
    async with Load(gateway, method="POST") as load:
        await dying.stop()
        await until(lambda: load.count > 300)

    # Only a request that the dying replica had in hand may fail.
    assert [failure for failure in load.failures if failure.startswith("503")] == []
    assert len(load.failures) <= 8


async def test_sends_an_idempotent_request_again(fresh: Fresh) -> None:
    gateway, control, (target, _) = fresh
    mute = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    address = f"127.0.0.1:{mute.sockets[0].getsockname()[1]}"
    await control.applied(await control.put(service("hello", target.address, address)))

    got = [(await gateway.call(token=ALICE)).status for _ in range(10)]
    posted = [(await gateway.call(token=ALICE, method="POST")).status for _ in range(10)]
    mute.close()

    assert got == [200] * 10
    assert 502 in posted


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.close()
