"""What services on the fake cloud cost, from their first machine to its end and beyond."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.instances import reconcile as instances
from apps.instances.costs import ledger
from apps.instances.costs import queries as costs
from apps.instances.models import Instance
from apps.runs import queries, services
from apps.runs.models import Run
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

LONG = timedelta(days=2)


def lived(instance: Instance) -> Decimal:
    """The hours of a machine that is over, at $1 each."""
    instance.refresh_from_db()
    assert instance.is_final
    assert instance.running_at is not None
    return Decimal((instance.state_at - instance.running_at) // timedelta(microseconds=1)) / (
        3_600 * 1_000_000
    )


def age(instance: Instance, hours: float) -> None:
    """Let what came about just now have come about so long ago."""
    ago = timedelta(hours=hours)
    now = timezone.now()
    Instance.objects.filter(pk=instance.pk).update(running_at=now - ago, state_at=now - ago)
    instance.workloads.update(created_at=now - ago)


def served(run: Run, *, hours: float) -> FakeAgent:
    """The agent of the run's machine, on which it has served for so long."""
    instance = Instance.objects.get(replicas__run=run)
    agent = FakeAgent(instance)
    agent.sync()
    agent.serve()
    age(instance, hours)
    return agent


def long_ago() -> date:
    """A day before all that the tests let be: what began hours ago may have begun yesterday."""
    return (timezone.now() - LONG).date()


def total(run: Run) -> Decimal:
    return queries.costs([run], at=timezone.now() + LONG)[run.pk].total_usd


def test_a_run_costs_its_machine_until_that_is_gone(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    agent = served(run, hours=5)
    so_far = queries.costs([run])[run.pk]
    assert so_far.now_usd_per_hour == so_far.billed_usd_per_hour == 1
    assert so_far.total_usd == pytest.approx(Decimal(5), abs=Decimal("0.01"))

    services.stop(access=owner, run=run, abort=True)
    pass_time(40)
    agent.sync()
    pass_time(60)

    hours = lived(Instance.objects.get())
    spent = costs.of_project(cloudy, since=long_ago(), at=timezone.now() + LONG)
    assert sum(each.usd for each in spent) == pytest.approx(hours, rel=Decimal("1e-20"))
    for _ in range(2):
        ledger.book(at=timezone.now() + LONG)
    again = costs.of_project(cloudy, since=long_ago(), at=timezone.now() + LONG)
    assert [each.usd for each in again] == [each.usd for each in spent]
    assert queries.run_json(run)["cost_usd"] == pytest.approx(float(total(run)), abs=0.0001)


def test_a_machine_that_never_called_is_its_runs_as_well(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.regions = ("north", "south")
    run = submit(owner, cloudy)
    first = Instance.objects.get()
    instances.advance(ids=[first.pk], at=timezone.now())
    age(first, 0.5)
    instances.advance(ids=[first.pk], at=timezone.now())

    replica = run.replicas.get()
    assert (lived(first) > Decimal("0.5"), replica.region) == (True, "south")
    own = costs.of_replicas([replica.pk], at=timezone.now())[replica.pk]
    assert own >= Decimal("0.5")
    assert total(run) >= own


def test_a_machine_that_is_still_made_costs_nothing_yet(
    world: World, owner: Access, cloudy: Project
) -> None:
    creating = base.InstanceStatus(base.InstanceState.CREATING)
    world.states["i-0"] = creating
    run = submit(owner, cloudy)
    pass_time(60)

    cost = queries.costs([run], at=timezone.now() + LONG)[run.pk]
    assert [cost.now_usd_per_hour, cost.billed_usd_per_hour, cost.total_usd] == [1, 0, 0]


def test_time_without_work_is_booked_to_the_project(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy, YAML + "idle_duration: 10m\n")
    agent = served(run, hours=1)
    services.stop(access=owner, run=run, abort=True)
    pass_time(40)
    agent.sync()
    assert Instance.objects.get().workloads.get().state == "exited"
    at = timezone.now() + timedelta(minutes=10)

    idle = [
        each
        for each in costs.of_project(cloudy, since=long_ago(), at=at)
        if each.idle and each.run_name == "hello"
    ]
    assert sum(each.usd for each in idle) == pytest.approx(Decimal(1) / 6, abs=Decimal("0.01"))
    assert queries.costs([run], at=at)[run.pk].total_usd == pytest.approx(1, abs=0.01)
