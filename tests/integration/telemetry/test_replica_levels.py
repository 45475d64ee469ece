"""What the chart of replicas draws is what happened, at the time at which it did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.models import Event
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.scale.desired_replicas import SCALING, note
from apps.specs.parse import parse
from apps.telemetry.metrics import series
from tests import factories
from tests.people import People

pytestmark = pytest.mark.django_db

AT = datetime(2030, 1, 1, 12, 0, 7, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return AT - timedelta(seconds=seconds)


@pytest.fixture
def run(people: People) -> Run:
    return factories.run(people.project, name="hello", created_at=ago(3000), desired_replicas=1)


def event(run: Run, replica: Replica, *, old: str, new: str, seconds: float) -> None:
    version = Event.objects.filter(object_id=replica.pk).count()
    Event.objects.create(
        state_machine="replica", object_id=replica.pk, version=version, old=old, new=new,
        project_id=run.project_id, run_id=run.pk, label="replica 0", at=ago(seconds),
    )  # fmt: skip


def steps(run: Run, *, minutes: float = 10) -> list[tuple[float, int, int]]:
    """Age in seconds, desired, ready."""
    found = series.levels_of(run=run, begin=AT - timedelta(minutes=minutes), end=AT)
    return [((AT - each["at"]).total_seconds(), each["wanted"], each["ready"]) for each in found]


def test_what_ran_between_two_looks_is_drawn(run: Run) -> None:
    factories.replica(run, num=0, state_at=ago(2000))
    note(run_id=run.pk, before=1, desired=3, reason="1 -> 3: load", at=ago(100))
    for num in (1, 2):
        replica = factories.replica(run, num=num, state="stopped", state_at=ago(52))
        event(run, replica, old=states.STARTING, new=states.RUNNING, seconds=97 - num)
        event(run, replica, old=states.RUNNING, new=states.DRAINING, seconds=54 - num)
        event(run, replica, old=states.DRAINING, new=states.STOPPED, seconds=52)
    note(run_id=run.pk, before=3, desired=1, reason="3 -> 1: calm", at=ago(55))

    assert steps(run) == [
        (600, 1, 1), (100, 3, 1), (96, 3, 2), (95, 3, 3), (55, 1, 3), (53, 1, 2), (52, 1, 1),
        (0, 1, 1),
    ]  # fmt: skip


def test_a_replica_that_was_ready_at_the_begin_is_counted_by_its_event(run: Run) -> None:
    replica = factories.replica(run, num=0, state="stopped", state_at=ago(20))
    event(run, replica, old=states.RUNNING, new=states.DRAINING, seconds=30)

    assert steps(run) == [(600, 1, 1), (30, 1, 0), (0, 1, 0)]


def test_nothing_is_drawn_before_the_run_was_there(run: Run) -> None:
    run.created_at = ago(60)

    assert steps(run) == [(60, 1, 0), (0, 1, 0)]


def test_nothing_is_drawn_where_events_are_forgotten(run: Run, settings: object) -> None:
    settings.DSTACK_HISTORY_DAYS = 1  # type: ignore[attr-defined]
    run.created_at = AT - timedelta(days=5)

    assert steps(run, minutes=60 * 48)[0] == (86_400, 1, 0)


@pytest.mark.parametrize(
    ("over", "expected"),
    [(30, [(600, 1, 1), (30, 0, 0), (0, 0, 0)]), (900, [])],
)
def test_a_run_that_is_over_has_none(
    run: Run, over: float, expected: list[tuple[float, int, int]]
) -> None:
    replica = factories.replica(run, num=0, state="stopped", state_at=ago(over))
    event(run, replica, old=states.RUNNING, new=states.STOPPED, seconds=over)
    run.finished_at = ago(over)

    assert steps(run) == expected


def test_a_decision_that_changes_nothing_is_no_step(run: Run) -> None:
    note(run_id=run.pk, before=1, desired=1, reason="stays 1: limit", at=ago(50))

    assert [seconds for seconds, *_ in steps(run)] == [600, 0]
    assert Event.objects.filter(state_machine=SCALING).count() == 1


def test_nothing_is_wanted_while_its_schedule_has_it_off(run: Run) -> None:
    text = (
        "type: service\ncommands: [sleep 1]\nport: 80\n"
        "schedule: {cron: '55 11 * * *', stop: '58 11 * * *', timezone: UTC}\n"
    )
    run.spec = parse(text).to_json()

    assert steps(run) == [(600, 0, 0), (307, 1, 0), (127, 0, 0), (0, 0, 0)]
