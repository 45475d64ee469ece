"""A backend that is deleted by force goes, whatever its cloud says, and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import User
from apps.backends import services
from apps.backends.base import ErrorKind, ProviderError
from apps.backends.faults import leaving
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core.transition import transition
from apps.gateways.machines import reconcile as gateways
from apps.gateways.models import Gateway
from apps.instances import reconcile
from apps.instances.models import Instance
from apps.instances.strays import orphans
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db(transaction=True)
LATER = timedelta(minutes=10)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    yield fresh


@pytest.fixture
def cloud(world: World, people: People) -> Backend:
    return services.connect(project=people.project, kind="cloud", config={})


@pytest.fixture
def alice(people: People) -> Access:
    return Access(user=people.alice)


def machine(cloud: Backend, **fields: Any) -> Instance:
    assert cloud.project is not None
    return factories.instance(cloud.project, backend=cloud, backend_kind="cloud", **fields)


DEAD = ProviderError("The keys of account 123456789012 are refused", kind=ErrorKind.CREDENTIALS)
AWAY = ProviderError("cloud did not answer", kind=ErrorKind.UNREACHABLE)
LATE = ProviderError("slow down", kind=ErrorKind.THROTTLED)
SOON, TOO_LATE = timedelta(0), 2 * leaving.LONGEST_GOODBYE


def ended_by_force(
    world: World, cloud: Backend, access: Access, error: ProviderError | None
) -> Instance:
    """A machine that lives while its cloud answers so."""
    running = machine(cloud, ref="i-1", region="north", price_usd_per_hour=2)
    factories.workload(running)
    world.machines["i-1"] = running.boot_name
    world.owners["i-1"], world.tags["i-1"] = services.server_id(), {}
    world.refused = {} if error is None else dict.fromkeys(("terminate", "list_owned"), error)
    world.ends_nothing = error is None
    assert not services.delete(access=access, backend=cloud, ends_machines=True)
    return running


def look(times: int = leaving.MOST_REFUSALS) -> None:
    for _ in range(times):
        at = timezone.now()
        due = Instance.objects.filter(state="terminating")
        due.update(next_check_at=at)
        reconcile.advance(ids=list(due.values_list("pk", flat=True)), at=at)
    services.close_emptied()


@pytest.mark.parametrize(
    ("error", "since", "is_let_go"),
    [
        (DEAD, SOON, True),
        (AWAY, SOON, False),
        (LATE, SOON, False),
        (None, SOON, False),
        (DEAD, TOO_LATE, True),
        (AWAY, TOO_LATE, True),
        (LATE, TOO_LATE, True),
        (None, TOO_LATE, True),
    ],
)
def test_what_is_deleted_by_force_goes_though_its_cloud_does_not_listen(
    world: World,
    cloud: Backend,
    alice: Access,
    error: ProviderError | None,
    since: timedelta,
    is_let_go: bool,
) -> None:
    running = ended_by_force(world, cloud, alice, error)
    Backend.objects.update(ending_at=timezone.now() - since)

    look()

    running.refresh_from_db()
    cloud.refresh_from_db()
    assert (running.state == "failed", cloud.closed_at is not None) == (is_let_go, is_let_go)
    told = [(each.what, each.ref, each.region) for each in leaving.of(cloud)]
    assert told == ([("machine", "i-1", "north")] if is_let_go else [])
    if is_let_go:
        assert f"machine {running.boot_name} in north may still run there" in running.error
        assert f"tagged dstack-web-server={services.server_id()}" in running.error
        assert "cost $2.0000 an hour" in running.error


def test_keys_that_no_key_of_the_server_reads_are_dead_too(
    world: World, cloud: Backend, alice: Access
) -> None:
    ended_by_force(world, cloud, alice, None)
    Backend.objects.update(config="of another server")

    look()

    assert Instance.objects.get().state == "failed"


def test_one_refusal_is_not_the_end(world: World, cloud: Backend, alice: Access) -> None:
    ended_by_force(world, cloud, alice, DEAD)

    look(times=leaving.MOST_REFUSALS - 1)
    world.refused = {}
    look(times=2)

    assert (Instance.objects.get().state, world.machines) == ("terminated", {})
    cloud.refresh_from_db()
    assert (cloud.closed_at is not None, cloud.left_behind) == (True, [])


def test_what_is_not_deleted_by_force_is_asked_for_as_long_as_it_takes(
    world: World, cloud: Backend
) -> None:
    machine(cloud, ref="i-1", state="terminating")
    world.refused = {"terminate": DEAD}

    look(times=2 * leaving.MOST_REFUSALS)

    assert Instance.objects.get().state == "terminating"


def test_machines_that_were_asked_for_in_vain_before_are_let_go_at_once(
    world: World, cloud: Backend, alice: Access
) -> None:
    waiting = machine(
        cloud, ref="i-1", state="terminating", attempts=9, next_check_at=timezone.now() + LATER
    )
    world.refused = {"terminate": DEAD}

    services.delete(access=alice, backend=cloud, ends_machines=True)

    waiting.refresh_from_db()
    assert waiting.next_check_at is not None and waiting.next_check_at <= timezone.now()
    look(times=1)
    assert Instance.objects.get().state == "failed"


@pytest.mark.parametrize("place", ["the same project", "the server"])
def test_what_was_left_behind_is_found_by_good_keys_and_ended(
    people: People, world: World, cloud: Backend, alice: Access, place: str
) -> None:
    ended_by_force(world, cloud, alice, DEAD)
    look()
    orphans.collect_orphans(at=timezone.now() + LATER)
    cloud.refresh_from_db()
    assert cloud.config == services.FORGOTTEN
    assert [each.name for each in leaving.told(people.project, at=timezone.now())] == ["cloud"]

    world.refused = {}
    where = people.project if place == "the same project" else None
    services.connect(project=where, kind="cloud", config={})
    orphans.collect_orphans(at=timezone.now() + LATER)

    assert world.machines == {}
    left = Instance.objects.get()
    # What a cloud that projects share calls it is for admins of the server.
    named = "i-1" if where else left.boot_name
    assert left.error == f"Its machine {named} was found still there and ended."
    assert not leaving.told(people.project, at=timezone.now()).exists()


def test_says_what_was_left_behind_to_who_connects_backends(
    people: People, world: World, cloud: Backend, alice: Access
) -> None:
    ended_by_force(world, cloud, alice, DEAD)
    look()
    name = Instance.objects.get().boot_name

    def told(who: User) -> list[Any]:
        client = Client(headers=factories.token(who).headers)
        return list(client.get("/api/projects/main/backends").json()["left_behind"])

    assert [(each["name"], each["ref"], each["region"]) for each in told(people.alice)] == [
        (name, "i-1", "north")
    ]
    assert told(people.bob) == []
    page = "/projects/main/backends/"
    assert name in signed_in(people.alice).get(page).content.decode()
    assert name not in signed_in(people.bob).get(page).content.decode()


def test_the_address_of_a_gateway_is_let_go_too(
    people: People, world: World, cloud: Backend, alice: Access
) -> None:
    reserved = {"ref": "north/a", "ip": "203.0.113.1", "name": "dstack-gw-a", "on": ""}
    factories.gateway(
        people.project,
        name="edge",
        connection=cloud,
        made_for=people.project,
        region="north",
        reserved=reserved,
        state="running",
    )
    world.refused = {"release_address": DEAD, "terminate": DEAD}
    services.delete(access=alice, backend=cloud, ends_machines=True)

    for _ in range(leaving.MOST_REFUSALS):
        at = timezone.now()
        Gateway.objects.update(next_check_at=at)
        gateways.advance(keys=list(Gateway.objects.values_list("pk", flat=True)), at=at)
    services.close_emptied()

    cloud.refresh_from_db()
    assert [(each.what, each.ref) for each in leaving.of(cloud)] == [("address", "north/a")]
    assert cloud.closed_at is not None


def asked_for(cloud: Backend, state: str, **fields: Any) -> Instance:
    """A machine of which no answer came."""
    made = machine(cloud, state="requested", region="north", price_usd_per_hour=2)
    transition(made, "creating", at=timezone.now())
    if state != "creating":
        transition(made, state, at=timezone.now(), **fields)
    return made


@pytest.mark.parametrize(
    ("state", "fields", "is_refused", "is_told"),
    [
        ("creating", {}, True, True),
        ("failed", {"attempts": 4}, True, True),
        ("failed", {"attempts": 0}, True, False),
        ("creating", {}, False, False),
        ("requested", {}, True, False),
    ],
)
def test_a_machine_whose_making_was_never_answered_is_told_where_no_list_says_that_it_is_not(
    people: People,
    world: World,
    cloud: Backend,
    alice: Access,
    state: str,
    fields: dict[str, Any],
    is_refused: bool,
    is_told: bool,
) -> None:
    if state == "requested":
        made = machine(cloud, state=state)
    else:
        made = asked_for(cloud, state, **fields)
    world.refused = {"list_owned": DEAD} if is_refused else {}
    services.delete(access=alice, backend=cloud, ends_machines=True)
    look(times=2)

    orphans.collect_orphans(at=timezone.now() + LATER)

    cloud.refresh_from_db()
    assert (cloud.closed_at is not None, cloud.config) == (True, services.FORGOTTEN)
    told = [(each.name, each.ref, each.region) for each in leaving.of(cloud)]
    assert told == [(made.boot_name, "", "north")] * is_told
    page = signed_in(people.alice).get("/projects/main/backends/").content.decode()
    assert ("its cloud never said whether it made it" in page) is is_told
