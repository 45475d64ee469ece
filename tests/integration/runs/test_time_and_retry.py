"""`retry` and `max_duration` from the YAML to what happens, with a fake agent."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.models import Event
from apps.instances.models import Instance
from apps.runs import queries, services, states
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"


def started(alice: Access, project: Project, line: str) -> tuple[Run, FakeAgent]:
    run = services.submit(access=alice, project=project, request=PlanRequest(YAML + line))
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    return run, agent


def look(run: Run, *, at: datetime) -> Run:
    reconcile.reconcile(ids=[run.pk], at=at)
    run.refresh_from_db()
    return run


def test_retry_starts_a_replacement_for_what_exited_before_it_was_ready(
    alice: Access, project: Project
) -> None:
    run, agent = started(alice, project, "retry: {on_events: [error], duration: 1h}\n")
    agent.exit_all(code=3)

    look(run, at=timezone.now())

    replacement = Replica.objects.exclude(state=states.FAILED).get()
    assert (run.state, replacement.num, replacement.attempt) == (states.PROVISIONING, 0, 1)


def test_retry_for_the_lack_of_capacity_does_not_cover_an_error(
    alice: Access, project: Project
) -> None:
    run, agent = started(alice, project, "retry: {on_events: [no-capacity], duration: 1h}\n")
    agent.exit_all(code=3)

    assert look(run, at=timezone.now()).state == states.FAILED
    assert Replica.objects.count() == 1


def test_the_second_replacement_waits_fifteen_seconds(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "retry: {on_events: [error], duration: 1h}\n")
    agent.exit_all()
    agent.sync()
    agent.exit_all()

    look(run, at=timezone.now())

    last_failed = Replica.objects.get(attempt=1)
    waiting = Replica.objects.get(attempt=2)
    assert last_failed.finished_at is not None
    assert waiting.not_before == last_failed.finished_at + timedelta(seconds=15)


def test_without_retry_what_never_got_ready_ends_the_run(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "")
    agent.exit_all(code=3)

    assert look(run, at=timezone.now()).state == states.FAILED


def test_when_the_time_for_retries_is_over_the_run_fails(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "retry: {on_events: [error], duration: 1h}\n")
    Run.objects.update(failures_counted_since=run.failures_counted_since - timedelta(hours=2))
    agent.exit_all(code=3)

    assert look(run, at=timezone.now()).state == states.FAILED


def test_retry_covers_the_replacement_of_what_served_for_days(
    alice: Access, project: Project
) -> None:
    run, agent = started(alice, project, "retry: {on_events: [error], duration: 1h}\n")
    agent.serve()
    Run.objects.update(failures_counted_since=run.failures_counted_since - timedelta(days=2))
    agent.exit_all()
    agent.sync()
    agent.exit_all()

    assert look(run, at=timezone.now()).state == states.PROVISIONING
    assert Replica.objects.get(attempt=2).not_before is not None


def test_pauses_grow_from_fifteen_seconds_to_ten_minutes(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "retry: true\n")
    pauses = []
    for attempt in range(1, 9):
        agent.exit_all()
        look(run, at=timezone.now())
        before, waiting = Replica.objects.order_by("-attempt")[:2][::-1]
        assert before.finished_at is not None
        assert waiting.not_before is not None
        pauses.append((waiting.not_before - before.finished_at).total_seconds())
        replica_lifecycle.advance(ids=[waiting.pk], at=waiting.not_before)
        agent.sync()
        assert waiting.attempt == attempt

    assert pauses == [0, 15, 30, 60, 120, 240, 480, 600]


def test_one_replica_that_fails_leaves_the_other_alone(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "replicas: 2\nretry: true\n")
    agent.serve()
    first, second = Replica.objects.order_by("num")
    agent.exit_one(str(second.workload_id))

    look(run, at=timezone.now())

    first.refresh_from_db()
    replacement = Replica.objects.get(attempt=1)
    assert (run.state, first.state) == (states.RUNNING, states.RUNNING)
    assert (replacement.num, first.attempt) == (second.num, 0)


def test_max_duration_is_seen_in_time_and_ends_the_run(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "max_duration: 30s\n")
    agent.serve()
    look(run, at=timezone.now())
    assert run.next_check_at == run.created_at + timedelta(seconds=30)

    look(run, at=run.next_check_at)
    replica = Replica.objects.get()
    over = timezone.now() + timedelta(minutes=6)
    replica_lifecycle.advance(ids=[replica.pk], at=over)
    agent.sync()
    agent.exit_all(code=0)

    look(run, at=over)
    reasons = Event.objects.filter(object_id=run.pk).values_list("new", "reason")
    assert ("stopping", "max_duration is over") in list(reasons)
    assert run.state == states.STOPPED


@pytest.mark.parametrize(
    ("line", "seconds"),
    [("", None), ("max_duration: off\n", None), ("max_duration: 3h\n", 10800)],
)
def test_what_ends_by_itself_says_when(
    alice: Access, project: Project, line: str, seconds: int | None
) -> None:
    run, _ = started(alice, project, line)

    told = queries.run_json(run)["ends_at"]

    assert told == (seconds and run.created_at + timedelta(seconds=seconds))


def test_max_duration_stops_a_service_that_runs(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "max_duration: 1m\n")
    agent.serve()
    assert look(run, at=run.created_at + timedelta(seconds=59)).state == states.RUNNING

    look(run, at=run.created_at + timedelta(seconds=61))

    assert run.state == states.STOPPING
    assert Replica.objects.get().state == states.DRAINING
