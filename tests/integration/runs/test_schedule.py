"""`schedule` from the YAML to what happens, with a fake agent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.autoscaling import queries as scaling
from apps.core.models import Event
from apps.instances.models import Instance
from apps.routing import services as routing
from apps.runs import queries, services, states
from apps.runs.control import reconcile
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"
SCALING = "replicas: 0..2\nscaling: {metric: rps, target: 1}\n"


def change_after(run: Run, at: datetime) -> datetime:
    """When its schedule switches it next."""
    assert run.timetable is not None
    change = run.timetable.changes_at(at)
    assert change is not None
    return change


def cron(at: datetime) -> str:
    return f"{at.minute} {at.hour} {at.day} {at.month} *"


def submit(alice: Access, project: Project, *, start: float, stop: float, more: str = "") -> Run:
    """A service that starts and stops that many hours from now."""
    now = timezone.now()
    times = [cron(now + timedelta(hours=hours)) for hours in (start, stop)]
    line = f"schedule: {{cron: '{times[0]}', stop: '{times[1]}'}}\n"
    return services.submit(access=alice, project=project, request=PlanRequest(YAML + line + more))


def look(run: Run, *, at: datetime) -> Run:
    reconcile.reconcile(ids=[run.pk], at=at)
    run.refresh_from_db()
    return run


def endpoint(run: Run) -> Any:
    return routing.endpoints([run.pk])[str(run.pk)]


def test_starts_at_once_within_its_hours(alice: Access, project: Project) -> None:
    run = submit(alice, project, start=-2, stop=2)

    assert Replica.objects.get().state == states.PROVISIONING
    assert endpoint(run)["awake"]


def test_waits_outside_of_them(alice: Access, project: Project) -> None:
    run = submit(alice, project, start=2, stop=-2)
    run.refresh_from_db()

    assert run.state == states.IDLE
    assert not Replica.objects.exists()
    assert not endpoint(run)["awake"]
    told = queries.run_json(run)
    assert told["replicas_wanted"] == 0
    assert told["schedule"].startswith("off until ")


def test_its_page_says_until_when(alice: Access, project: Project, client: Client) -> None:
    submit(alice, project, start=2, stop=-2)
    client.force_login(alice.user)

    page = client.get("/projects/main/services/hello/").content.decode()

    assert "Off until " in page
    assert "its schedule decides" in page


def test_is_looked_at_when_its_hours_begin(alice: Access, project: Project) -> None:
    run = submit(alice, project, start=0.5, stop=-2)
    run.refresh_from_db()
    begin = change_after(run, timezone.now())

    look(run, at=begin - timedelta(seconds=30))
    assert run.next_check_at == begin

    assert look(run, at=begin).state == states.PROVISIONING
    assert look(run, at=begin).state == states.PROVISIONING
    events = Event.objects.filter(object_id=run.pk, new=states.PROVISIONING)
    assert events.count() == 1


def test_a_missed_end_is_made_up_for(alice: Access, project: Project) -> None:
    """As after a night with the server off."""
    run = submit(alice, project, start=-2, stop=2)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()

    look(run, at=timezone.now() + timedelta(hours=3))

    assert Replica.objects.get().state == states.DRAINING


def test_what_failed_before_its_hours_is_tried_again(alice: Access, project: Project) -> None:
    run = submit(alice, project, start=-2, stop=2)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    later = timezone.now() + timedelta(hours=3)
    look(run, at=later)
    agent.sync()
    agent.exit_all(code=3)
    Run.objects.filter(pk=run.pk).update(state=states.IDLE)

    assert look(run, at=change_after(run, later)).state == states.PROVISIONING


def test_scaling_leaves_it_alone_outside_its_hours(alice: Access, project: Project) -> None:
    run = submit(alice, project, start=2, stop=-2, more=SCALING)

    assert scaling.scaled_runs([run.pk]) == []


def test_its_hours_change_without_a_new_replica(alice: Access, project: Project) -> None:
    submit(alice, project, start=-2, stop=2)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()

    submit(alice, project, start=-3, stop=3)

    (replica,) = Replica.objects.all()
    assert replica.state == states.RUNNING
    assert replica.version == 2
