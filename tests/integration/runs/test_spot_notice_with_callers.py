"""A cloud takes the only spot machine of a service back while people call it: a real gateway, told
by the real control plane, loses none of their requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core import notifications
from apps.gateways.models import Gateway as Row
from apps.instances.models import Instance, Workload
from apps.routing import services as routing
from apps.routing import tunnels
from apps.runs import states
from apps.runs.models import Replica
from gateway.schema import Endpoint, Table, TunnelServer, Upstream
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.fakes.control_plane_gateway import ControlPlane
from tests.fakes.target import Target
from tests.integration.gateway.harness import Answer, Gateway, Load
from tests.integration.gateways.on_machines import KEY
from tests.integration.runs.clouds import YAML, submit
from tests.integration.runs.test_interruptions import announce, in_seconds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

T = TypeVar("T")
SERVICE = YAML + "spot_policy: auto\nauth: false\n"
SERVER = TunnelServer(port=2222, user="dstack-tunnel", host_key=KEY)


class Relayed(ControlPlane):
    """Hands on the table that it was brought."""

    current: Table

    def table(self, since: int) -> Table:
        return self.current

    async def bring(self, table: Table) -> None:
        self.current, self.version = table, table.version
        await self.tell()


class Room:
    """A gateway that runs in a thread of its own, and the row that stands for it."""

    def __init__(self, row: Row, home: Path) -> None:
        self.row, self.taken = row, 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.control = Relayed(token="dsk_g_gateway")
        self.gateway = Gateway(home, self.control)
        self.targets: dict[str, Target] = {}

    def start(self) -> None:
        self.thread.start()
        self.do(self.control.start())
        self.pump()
        self.do(self.gateway.start())

    def stop(self) -> None:
        self.do(self.gateway.stop())
        for target in self.targets.values():
            self.do(target.stop())
        self.do(self.control.stop())
        self.do(end_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def soon(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.soon(work).result(30)

    def pump(self) -> None:
        """Hand on what the control plane and its gateway have to say to each other."""
        self.row.refresh_from_db()
        if self.control.version != self.row.revision:
            table = routing.table(gateway=self.row, since=0)
            dialled = [each.model_copy(update=self.dialled(each)) for each in table.endpoints]
            self.do(self.control.bring(table.model_copy(update={"endpoints": dialled})))
        reports, at = self.control.statuses[self.taken :], timezone.now()
        self.taken += len(reports)
        for each in reports:
            status = each.model_copy(update={"tunnels": SERVER})
            drained = routing.take_status(gateway=self.row, status=status, at=at)
            reached = tunnels.take_reached(gateway=self.row, status=status, at=at)
            for name, ids in (("reached", reached), ("drained", drained)):
                if ids:
                    notifications.transitioned("replica", name, ids)

    def dialled(self, endpoint: Endpoint) -> dict[str, Any]:
        """Return its replicas as they are reached without tunnels, a matter of other tests."""
        at = {each.id: self.targets[each.id].address for each in endpoint.replicas}
        return {"replicas": [Upstream(id=pk, address=address) for pk, address in at.items()]}

    def until(self, holds: Callable[[], object], *, seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not so within {seconds:g} s"
            self.pump()
            time.sleep(0.01)

    def serve(self, replica: Replica) -> tuple[FakeAgent, Target]:
        """Let the machine of a replica call, and its service answer."""
        agent = FakeAgent(Instance.objects.get(replicas=replica))
        target = self.targets[str(replica.pk)] = Target(name=f"replica-{replica.pk}")
        self.do(target.start())
        agent.sync()
        agent.serve()
        return agent, target

    def ask(self, path: str = "/") -> Future[Answer]:
        return self.soon(self.gateway.call(path))


async def end_all() -> None:
    """End the requests that nobody waits for any more."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for each in left:
        each.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def state_of(replica: Replica) -> str:
    replica.refresh_from_db()
    return str(replica.state)


@pytest.fixture
def room(world: World, cloudy: Project, tmp_path: Path) -> Iterator[Room]:
    world.regions, world.spot = ("north", "south"), ("north", "south")
    row = factories.gateway(cloudy, name="far", own_hosts=["127.0.0.1"], revision=1)
    made = Room(row, tmp_path / "gateway")
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("seconds", [120, 30])
def test_a_notice_loses_no_request(
    room: Room, owner: Access, cloudy: Project, seconds: int
) -> None:
    run = submit(owner, cloudy, SERVICE)
    old = run.replicas.get()
    agent, before = room.serve(old)
    room.until(lambda: state_of(old) == states.RUNNING)
    load = Load(room.gateway)
    room.do(load.__aenter__())
    under_way = room.ask("/late")
    room.until(lambda: "/late" in before.seen)

    noticed = time.monotonic()
    announce(agent, in_seconds(seconds))
    new = run.replicas.latest("pk")
    assert (new.state, new.region) == (states.PROVISIONING, "south")
    # With two minutes the only one serves on; with half a minute it takes nothing new from now on.
    waits = seconds == 30
    assert state_of(old) == (states.DRAINING if waits else states.RUNNING)
    room.until(lambda: is_listed(room, old) is not waits and is_listed(room, old) is not None)
    meanwhile = room.ask()
    if not waits:
        room.until(meanwhile.done)
    _, after = room.serve(new)
    room.until(lambda: meanwhile.done() and is_listed(room, old) is False and is_listed(room, new))
    assert meanwhile.result().json["name"] == (after if waits else before).name
    assert room.do(room.gateway.call("/")).json["name"] == after.name
    assert not is_told_to_end(old) and not under_way.done()

    room.loop.call_soon_threadsafe(before.go_on.set)
    room.until(lambda: is_told_to_end(old))
    assert time.monotonic() - noticed < 25
    answer = under_way.result(5)
    assert (answer.status, answer.json["name"]) == (200, before.name)
    agent.sync()
    assert (state_of(old), old.exit_reason) == (states.STOPPED, "interrupted")
    room.do(load.__aexit__())
    assert not load.failures


def is_listed(room: Room, replica: Replica) -> bool | None:
    """Whether the table has a replica, None until the gateway has applied the table."""
    listed = {each.id for endpoint in room.control.current.endpoints for each in endpoint.replicas}
    applied = [status.applied for status in room.control.statuses[-1:]]
    return str(replica.pk) in listed if applied == [room.control.version] else None


def is_told_to_end(replica: Replica) -> bool:
    return bool(Workload.objects.get(replica=replica).desired == "stop")
