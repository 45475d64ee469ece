"""`retry` and `max_duration` from the YAML to what happens, with a fake agent."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances.models import Instance
from apps.runs import life, services, states
from apps.runs.models import Replica, Run
from apps.runs.requests import PlanRequest
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"


def started(alice: Access, project: Project, line: str) -> tuple[Run, FakeAgent]:
    run = services.submit(access=alice, project=project, request=PlanRequest(YAML + line))
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    return run, agent


def look(run: Run, *, at: datetime) -> Run:
    life.reconcile(ids=[run.pk], at=at)
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


def test_max_duration_stops_a_service_that_runs(alice: Access, project: Project) -> None:
    run, agent = started(alice, project, "max_duration: 1m\n")
    agent.serve()
    assert look(run, at=run.created_at + timedelta(seconds=59)).state == states.RUNNING

    look(run, at=run.created_at + timedelta(seconds=61))

    assert run.state == states.STOPPING
    assert Replica.objects.get().state == states.DRAINING
