"""Disabling and deleting clouds: nothing is lost there, and nothing is kept of them for longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import projects
from apps.accounts.access import Access
from apps.accounts.models import Project, User
from apps.backends import leaving, queries, services
from apps.backends.base import ErrorKind, ProviderError
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core.errors import Conflict, Invalid
from apps.gateways.machines import reconcile as gateways
from apps.gateways.models import Gateway
from apps.instances import ending, reconcile
from apps.instances import services as instances
from apps.instances.models import Instance
from apps.instances.states import INSTANCE
from apps.instances.strays import orphans
from apps.offers import queries as offers
from apps.offers.lists.wishes import asked_for
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


def offered(project: Project) -> list[str]:
    return [each.backend for each in offers.find(project=project, spec=asked_for()).matches.offers]


def machine(cloud: Backend, **fields: Any) -> Instance:
    assert cloud.project is not None
    return factories.instance(cloud.project, backend=cloud, backend_kind="cloud", **fields)


def test_the_states_of_what_is_over_are_those_of_instances() -> None:
    assert set(queries.OVER) == set(INSTANCE.final)


def test_nothing_new_is_placed_on_what_is_disabled(
    people: People, cloud: Backend, alice: Access
) -> None:
    running = machine(cloud)
    services.set_disabled(access=alice, backend=cloud, disabled=True)

    found = offers.find(project=people.project, spec=asked_for())
    assert (found.backends, queries.state_of(cloud)) == ({}, "disabled")
    assert "All backends of project main are disabled (cloud)" in offers.why_none(found)
    running.refresh_from_db()
    assert running.state == "ready"
    services.set_disabled(access=alice, backend=cloud, disabled=False)
    assert offered(people.project) == ["cloud"]


def test_is_not_deleted_while_a_machine_lives(cloud: Backend, alice: Access) -> None:
    running = machine(cloud)

    with pytest.raises(Conflict) as refused:
        services.delete(access=alice, backend=cloud)

    assert refused.value.message.startswith(f"Machines of cloud have not ended: {running.name}.")
    assert "--force" in refused.value.message


def test_ends_its_machines_first_where_that_is_asked_for(
    people: People, cloud: Backend, alice: Access
) -> None:
    second = factories.backend(people.project, kind="cloud", name="second")
    running, other = machine(cloud), machine(second)
    workload = factories.workload(running)

    assert not services.delete(access=alice, backend=cloud, ends_machines=True)

    for row in (running, other, workload, cloud):
        row.refresh_from_db()
    assert (running.state, other.state) == ("terminating", "ready")
    assert (workload.state, workload.exit_reason) == ("exited", "host_stopped")
    assert (queries.state_of(cloud), cloud.closed_at) == ("deleting", None)
    assert offered(people.project) == ["second"]
    with pytest.raises(Conflict, match="being deleted"):
        services.set_disabled(access=alice, backend=cloud, disabled=False)
    services.close_emptied()
    assert queries.backends_of(people.project).filter(pk=cloud.pk).exists()

    Instance.objects.filter(pk=running.pk).update(state="terminated")
    services.close_emptied()

    assert not queries.backends_of(people.project).filter(pk=cloud.pk).exists()


def test_a_machine_that_came_a_moment_too_late_is_ended_too(cloud: Backend, alice: Access) -> None:
    machine(cloud)
    services.delete(access=alice, backend=cloud, ends_machines=True)
    late = machine(cloud, state="requested")

    services.close_emptied()

    late.refresh_from_db()
    cloud.refresh_from_db()
    assert (late.state, cloud.closed_at) == ("terminating", None)


def test_is_deleted_at_once_where_nothing_lives(
    people: People, cloud: Backend, alice: Access
) -> None:
    machine(cloud, state="terminated")

    assert services.delete(access=alice, backend=cloud, ends_machines=True)
    assert services.connect(project=people.project, kind="cloud", config={}).pk != cloud.pk


def test_is_forgotten_once_nothing_of_ours_is_left_there(
    world: World, cloud: Backend, alice: Access
) -> None:
    lost = machine(cloud, state="failed")
    Instance.objects.filter(pk=lost.pk).update(state_at=timezone.now() - LATER)
    world.machines["i-1"] = lost.boot_name
    world.owners["i-1"], world.tags["i-1"] = services.server_id(), {}
    services.delete(access=alice, backend=cloud)

    orphans.collect_orphans(at=timezone.now() + LATER)
    cloud.refresh_from_db()
    assert (world.machines, cloud.config == services.FORGOTTEN) == ({}, False)
    orphans.collect_orphans(at=timezone.now() + LATER)

    cloud.refresh_from_db()
    assert cloud.config == services.FORGOTTEN
    orphans.collect_orphans(at=timezone.now() + LATER)


@pytest.mark.parametrize(
    ("kind", "later", "forgotten"),
    [
        (ErrorKind.CREDENTIALS, LATER, True),
        (ErrorKind.UNREACHABLE, LATER, False),
        (ErrorKind.UNREACHABLE, 2 * leaving.LONGEST_GOODBYE, True),
    ],
)
def test_a_cloud_that_does_not_answer_is_forgotten_in_time(
    cloud: Backend, alice: Access, kind: ErrorKind, later: timedelta, forgotten: bool
) -> None:
    services.delete(access=alice, backend=cloud)
    cloud.refresh_from_db()

    ending.nobody_answers(cloud, ProviderError("no", kind=kind), at=timezone.now() + later)

    cloud.refresh_from_db()
    assert (cloud.config == services.FORGOTTEN) == forgotten


def test_a_project_is_deleted_with_its_backends(
    people: People, cloud: Backend, alice: Access
) -> None:
    running = machine(cloud, state="idle")
    with pytest.raises(Conflict, match="have not ended"):
        projects.delete(access=alice, project=people.project, at=timezone.now())
    Instance.objects.filter(pk=running.pk).update(state="terminated")

    projects.delete(access=alice, project=people.project, at=timezone.now())

    cloud.refresh_from_db()
    assert cloud.closed_at is not None
    orphans.collect_orphans(at=timezone.now() + LATER)
    cloud.refresh_from_db()
    assert cloud.config == services.FORGOTTEN


def test_a_machine_left_behind_is_ended_once_its_account_is_connected_again(
    people: People, world: World, cloud: Backend, alice: Access
) -> None:
    """Its key was taken away, so the first backend was forgotten before anybody could look."""
    lost = machine(cloud, state="failed")
    Instance.objects.filter(pk=lost.pk).update(state_at=timezone.now() - LATER)
    world.machines["i-1"] = lost.boot_name
    world.owners["i-1"], world.tags["i-1"] = services.server_id(), {}
    services.delete(access=alice, backend=cloud)
    services.forget(cloud)
    services.connect(project=people.project, kind="cloud", config={})

    orphans.collect_orphans(at=timezone.now())

    assert world.machines == {}


def test_the_cloud_of_one_project_says_nothing_of_the_machines_of_another(
    world: World, people: People, cloud: Backend
) -> None:
    """Whoever may tag there can name one as another project's."""
    other = factories.project("other")
    theirs = factories.instance(other, backend_kind="cloud", state="failed")
    Instance.objects.filter(pk=theirs.pk).update(state_at=timezone.now() - LATER)
    world.machines["i-1"] = theirs.boot_name
    world.owners["i-1"], world.tags["i-1"] = services.server_id(), {}

    orphans.collect_orphans(at=timezone.now())

    theirs.refresh_from_db()
    assert (theirs.error, list(world.machines)) == ("", ["i-1"])


@pytest.mark.parametrize("shut", ["closed_at", "ending_at", "disabled_at"])
def test_nothing_is_asked_of_what_was_shut_since_its_offers_were_read(
    people: People, cloud: Backend, shut: str
) -> None:
    found = offers.find(project=people.project, spec=asked_for())
    new = instances.NewWorkload(factories.run(people.project).pk, "chat-0", {}, {})
    Backend.objects.filter(pk=cloud.pk).update(**{shut: timezone.now()})

    with pytest.raises(instances.NoRoom, match="disabled or deleted"):
        instances.place(
            project=people.project,
            backend=found.backends["cloud"],
            offer=found.matches.offers[0],
            new=new,
            at=timezone.now(),
        )

    assert not Instance.objects.exists()


def test_this_machine_is_not_ended(people: People, agent_folder: object) -> None:
    root = Access(user=people.root)
    local = services.open_local(access=root, project=people.project)
    factories.run(people.project, name="chat")

    with pytest.raises((Conflict, Invalid), match="chat"):
        services.delete(access=root, backend=local, ends_machines=True)


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
    assert Instance.objects.get().error == "Its machine i-1 was found still there and ended."
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
