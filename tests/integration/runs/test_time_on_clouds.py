"""`max_duration` and `retry` of what runs on machines that we make."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.instances.models import Instance
from apps.runs import queries, states
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


def look(run: Run, *, at: datetime) -> Run:
    reconcile.reconcile(ids=[run.pk], at=at)
    run.refresh_from_db()
    return run


@pytest.mark.parametrize(("line", "kept"), [("", 0), ("idle_duration: 7m\n", 420)])
def test_machines_of_what_ended_by_itself_are_kept_as_after_a_stop(
    owner: Access, cloudy: Project, line: str, kept: int
) -> None:
    run = submit(owner, cloudy, YAML + "max_duration: 1m\n" + line)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()

    look(run, at=run.created_at + timedelta(seconds=61))

    assert (run.state, run.stop_reason) == (states.STOPPING, "max_duration is over")
    assert Instance.objects.get().idle_seconds == kept
    assert queries.run_json(run)["ends_at"] is None


def test_who_waits_for_capacity_is_told_when_it_is_asked_again_and_until_when(
    world: World, owner: Access, cloudy: Project
) -> None:
    def refuse(offer: base.Offer) -> None:
        raise base.ProviderError("no machine is free", kind=base.ErrorKind.CAPACITY)

    world.on_create = refuse
    run = submit(owner, cloudy, YAML + "retry: {on_events: [no-capacity], duration: 4h}\n")
    look(run, at=timezone.now())
    for replica in Replica.objects.filter(state=states.PENDING):
        replica_lifecycle.advance(ids=[replica.pk], at=replica.not_before or timezone.now())

    (told,) = queries.run_json(look(run, at=timezone.now()))["replicas"]
    over = run.failures_counted_since + timedelta(hours=4)
    assert told["phase"].startswith("waiting for capacity, next try at ")
    assert told["phase"].endswith(f"{over:%H:%M:%S} UTC")
    assert "gives up at " in told["phase"]
