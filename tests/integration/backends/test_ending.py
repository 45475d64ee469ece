"""Disabling and deleting clouds: nothing is lost there, and nothing is kept of them for longer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import projects
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries, services
from apps.backends.base import ErrorKind, ProviderError
from apps.backends.connecting import rows
from apps.backends.faults import leaving
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core.errors import Conflict, Invalid
from apps.instances import ending
from apps.instances import services as instances
from apps.instances.models import Instance
from apps.instances.states import INSTANCE
from apps.instances.strays import orphans
from apps.offers import queries as offers
from apps.offers.lists.wishes import asked_for
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.people import People

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


def test_what_was_to_change_after_a_check_opens_nothing_that_is_being_deleted_since(
    cloud: Backend, alice: Access
) -> None:
    machine(cloud)
    before = Backend.objects.get(pk=cloud.pk)
    services.delete(access=alice, backend=cloud, ends_machines=True)

    with pytest.raises(Conflict, match="being deleted"):
        rows.change(before, rows.Also(disabled=False))

    cloud.refresh_from_db()
    assert cloud.disabled_at is not None


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
