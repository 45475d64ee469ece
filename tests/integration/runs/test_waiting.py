"""What waits for a place looks again at once where there may be one now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.accounts import projects
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.models import Backend
from apps.instances import reconcile as instances
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.control import waiting
from apps.runs.models import Replica, Run
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import RETRY, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

SECOND = RETRY.replace("hello", "second")


def waits_long(run: Run) -> Replica:
    """Have the run's replica wait an hour for its next look."""
    later = timezone.now() + timedelta(hours=1)
    replica = run.replicas.get(state="pending")
    long_ago = timezone.now() - timedelta(minutes=1)
    Replica.objects.filter(pk=replica.pk).update(
        not_before=later, next_check_at=later, state_at=long_ago
    )
    return replica


def end_machine_of(run: Run, owner: Access) -> None:
    machine = Instance.objects.get(replicas__run=run)
    services.stop(access=owner, run=run, abort=True)
    for _ in range(3):
        instances.advance(ids=[machine.pk], at=timezone.now() + timedelta(minutes=1))
    machine.refresh_from_db()
    assert machine.is_final


@pytest.fixture
def held(owner: Access, cloudy: Project) -> tuple[Run, Run]:
    """One run that has the only machine that there may be, and one that waits for it."""
    first = submit(owner, cloudy)
    projects.set_machine_limits(
        access=owner, project=cloudy, max_instances=1, max_usd_per_hour=None
    )
    second = submit(owner, cloudy, SECOND)
    pass_time(120)
    waits_long(second)
    return first, second


def test_at_the_end_of_a_machine(owner: Access, held: tuple[Run, Run]) -> None:
    first, second = held
    end_machine_of(first, owner)
    assert second.replicas.filter(state="provisioning").exists()


@pytest.mark.parametrize(
    ("most", "dollars", "is_placed"),
    [(2, None, True), (None, None, True), (1, None, False), (2, Decimal("1.5"), False)],
)
def test_where_a_limit_was_raised(
    owner: Access,
    cloudy: Project,
    held: tuple[Run, Run],
    most: int | None,
    dollars: Decimal | None,
    is_placed: bool,
) -> None:
    projects.set_machine_limits(
        access=owner, project=cloudy, max_instances=most, max_usd_per_hour=dollars
    )
    assert held[1].replicas.filter(state="provisioning").exists() is is_placed
    # What looked in vain waits on, and is not lost.
    assert held[1].replicas.filter(state__in=["provisioning", "pending"]).exists()


def enabled(owner: Access, backend: Backend) -> None:
    backends.set_disabled(access=owner, backend=backend, disabled=False)


def connected_anew(owner: Access, backend: Backend) -> None:
    Backend.objects.filter(pk=backend.pk).update(disabled_at=None)
    backends.connect(project=backend.project, kind=backend.kind, name=backend.name, config={})


@pytest.mark.parametrize("change", [enabled, connected_anew])
def test_where_a_backend_can_be_used(
    owner: Access, cloudy: Project, change: Callable[[Access, Backend], None]
) -> None:
    backend = Backend.objects.get(project=cloudy)
    run = submit(owner, cloudy, RETRY)
    run.replicas.update(state="failed", exit_reason="no-backend", finished_at=timezone.now())
    backends.set_disabled(access=owner, backend=backend, disabled=True)
    Run.objects.filter(pk=run.pk).update(ready_at=timezone.now(), next_check_at=timezone.now())
    pass_time(20)
    waits_long(run)

    change(owner, backend)

    assert run.replicas.filter(state="provisioning").exists()


def test_a_pause_after_a_fault_of_the_service_is_kept(owner: Access, cloudy: Project) -> None:
    run = factories.run(cloudy)
    long_ago, later = timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1)
    for num, reason in enumerate(["error", "no-capacity", "over-limit", "no-backend"]):
        factories.replica(run, num=num, state="failed", exit_reason=reason)
        factories.replica(run, num=num, state="pending", state_at=long_ago, not_before=later)
    stopping = factories.run(cloudy, stop_requested_at=long_ago)
    factories.replica(stopping, state="failed", exit_reason="no-capacity")
    factories.replica(stopping, state="pending", state_at=long_ago, not_before=later)

    woken = waiting.look_again(at=timezone.now())

    assert sorted(Replica.objects.filter(pk__in=woken).values_list("num", flat=True)) == [1, 2, 3]


def test_one_change_wakes_a_bounded_number_those_that_were_due_first(
    world: World, owner: Access, cloudy: Project
) -> None:
    now, runs = timezone.now(), []
    for number in range(waiting.MOST + 5):
        run = factories.run(cloudy)
        factories.replica(run, state="failed", exit_reason="no-capacity")
        factories.replica(
            run,
            state="pending",
            state_at=now - timedelta(hours=1),
            not_before=now + timedelta(hours=1, minutes=-number),
        )
        runs.append(run)

    woken = waiting.look_again(at=now)

    named = list(Replica.objects.filter(pk__in=woken).values_list("run", flat=True))
    assert set(named) == {each.pk for each in runs[5:]}


def test_what_has_just_looked_does_not_look_again(owner: Access, cloudy: Project) -> None:
    run = factories.run(cloudy)
    factories.replica(run, state="failed", exit_reason="no-capacity")
    later = timezone.now() + timedelta(hours=1)
    factories.replica(run, state="pending", state_at=timezone.now(), not_before=later)
    assert waiting.look_again(at=timezone.now()) == []
