"""Four replicas on spot machines whose cloud takes back a whole type and zone at a time."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances.models import Instance
from apps.offers.models import BlockedOffer
from apps.runs import queries, states
from apps.runs.control import siblings
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from apps.runs.services import plan
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, pass_time, submit
from tests.integration.runs.test_interruptions import in_seconds, machine_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
SPOT = YAML + "spot_policy: auto\nreplicas: 4\n"


@pytest.fixture
def near(world: World) -> World:
    """Two regions of two zones each; the second costs a quarter more."""
    world.regions, world.spot = ("north", "south"), ("north", "south")
    world.spot_usd = {"north": 0.4, "south": 0.5}
    world.zones = {name: (f"{name}-a", f"{name}-b") for name in world.regions}
    return world


def serve(run: Run) -> None:
    """Let the agents of all machines that have one to run speak."""
    for replica in run.replicas.exclude(state__in=states.REPLICA.final).exclude(instance=None):
        agent = FakeAgent(machine_of(replica))
        agent.sync()
        if replica.state in (states.PROVISIONING, states.STARTING):
            agent.serve()


def ready(run: Run) -> int:
    return run.replicas.filter(state=states.RUNNING).count()


def test_four_replicas_are_on_four_markets(near: World, owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy, SPOT)

    assert max(Counter(near.markets.values()).values()) == 1
    assert len(near.markets) == 4
    told = [row["placed_why"] for row in queries.run_json(run)["replicas"] if row["placed_why"]]
    assert len(told) == 2
    assert all("$0.5 instead of $0.4 an hour, apart from 1 other" in each for each in told)


def test_the_plan_says_that_it_may_cost_more(near: World, owner: Access, cloudy: Project) -> None:
    found = plan(access=owner, project=cloudy, request=PlanRequest(SPOT))

    assert any("up to $0.5 instead of $0.4 an hour each" in each for each in found.warnings)


def test_what_is_much_dearer_is_not_taken_for_that(
    near: World, owner: Access, cloudy: Project
) -> None:
    near.spot_usd = {"north": 0.4, "south": 0.52}
    submit(owner, cloudy, SPOT)

    assert {region for region, _, _ in near.markets.values()} == {"north"}
    assert len(set(near.markets.values())) == 2


def test_two_are_ready_whatever_market_is_taken(
    near: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy, SPOT)
    serve(run)
    assert ready(run) == 4

    for market in sorted(set(near.markets.values())):
        taken = near.take_market(market)
        for instance in Instance.objects.filter(ref__in=taken):
            agent = FakeAgent(instance)
            agent.sync()
            agent.spot_notice = in_seconds(30)
            agent.report()
        assert ready(run) >= 2
        # The replacement is there before the machine is gone.
        assert run.replicas.filter(state=states.PROVISIONING).count() == len(taken)
        serve(run)
        assert ready(run) >= 3
        for ref in taken:
            near.take_back(ref)
        pass_time(20)
        serve(run)
        assert ready(run) >= 2


def test_with_30_seconds_of_notice_it_drains_at_once(
    near: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy, SPOT)
    serve(run)
    old = run.replicas.earliest("id")
    agent = FakeAgent(machine_of(old))
    agent.sync()
    agent.spot_notice = in_seconds(30)
    agent.report()

    assert Replica.objects.get(pk=old.pk).state == states.DRAINING


def test_after_a_streak_new_replicas_are_on_demand_for_half_an_hour(
    near: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy, SPOT.replace("replicas: 4", "replicas: 1"))
    for _ in range(3):
        serve(run)
        live = run.replicas.exclude(state__in=states.REPLICA.final).latest("id")
        agent = FakeAgent(machine_of(live))
        agent.sync()
        agent.spot_notice = in_seconds(30)
        agent.report()
        # The market is not what keeps spot machines away.
        BlockedOffer.objects.all().delete()
    newest = run.replicas.latest("id")
    assert newest.spot is False
    assert newest.placed_why == "3 of its spot machines were taken back within 30 minutes"

    Instance.objects.exclude(interrupted_at=None).update(
        interrupted_at=timezone.now() - timedelta(minutes=31)
    )
    assert siblings.interruptions(run, at=timezone.now()) == 0
