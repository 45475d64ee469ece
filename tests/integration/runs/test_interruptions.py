"""Spot machines that the cloud takes back, with and without a word, on the fake cloud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.backends import base
from apps.core.models import Event
from apps.instances.agents import reports
from apps.instances.models import Instance
from apps.offers.models import BlockedOffer
from apps.runs import states
from apps.runs.models import Replica, Run
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

SPOT = YAML + "spot_policy: auto\n"


@pytest.fixture
def run(world: World, owner: Access, cloudy: Project) -> Run:
    """A service that serves on a spot machine; there are two regions."""
    world.regions, world.spot = ("north", "south"), ("north", "south")
    return submit(owner, cloudy, SPOT)


@pytest.fixture
def agent(run: Run) -> FakeAgent:
    return serving(run.replicas.get())


def serving(replica: Replica) -> FakeAgent:
    agent = FakeAgent(Instance.objects.get(replicas=replica))
    agent.sync()
    agent.serve()
    return agent


def machine_of(replica: Replica) -> Instance:
    return Instance.objects.get(pk=replica.instance_id or pytest.fail("it has no machine"))


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def announce(agent: FakeAgent, text: str = "") -> None:
    agent.spot_notice = text or in_seconds(120)
    agent.report()


def refreshed(replica: Replica) -> Replica:
    return Replica.objects.get(pk=replica.pk)


def test_the_replacement_is_placed_at_the_notice_and_the_old_one_still_serves(
    run: Run, agent: FakeAgent
) -> None:
    announce(agent)

    old, new = run.replicas.order_by("id")
    assert (old.state, new.state) == (states.RUNNING, states.PROVISIONING)
    assert new.instance_id != old.instance_id
    # The same market is not asked again: the next cheapest is spot of the other region.
    assert (new.region, new.spot) == ("south", True)
    assert [row.region for row in BlockedOffer.objects.all()] == ["north"]
    run.refresh_from_db()
    assert run.state == states.RUNNING


def test_it_drains_when_its_replacement_serves_and_ends_as_interrupted(
    world: World, run: Run, agent: FakeAgent
) -> None:
    announce(agent)
    old, new = run.replicas.order_by("id")
    serving(new)

    assert refreshed(old).state == states.DRAINING
    reasons = Event.objects.filter(object_id=old.pk, new=states.DRAINING)
    assert "its cloud takes its spot machine back at " in reasons.get().reason
    Replica.objects.filter(pk=old.pk).update(drained_at=timezone.now())
    pass_time(20)
    agent.sync()
    pass_time(40)

    old = refreshed(old)
    assert (old.state, old.exit_reason) == (states.STOPPED, "interrupted")
    assert old.message == "its cloud took its spot machine back"
    assert {spec.stop_seconds for spec in agent.specs.values()} == {5.0}
    assert machine_of(old).state == "terminated"
    assert len(world.machines) == 1
    assert run.replicas.exclude(state__in=states.REPLICA.final).get() == new


def test_without_a_replacement_it_drains_in_time_before_its_machine_ends(
    run: Run, agent: FakeAgent
) -> None:
    announce(agent)
    Instance.objects.update(reported_at=timezone.now() + timedelta(seconds=400))
    pass_time(60, step=10)
    early = refreshed(run.replicas.earliest("id")).state
    pass_time(120, step=5)

    old = refreshed(run.replicas.earliest("id"))
    assert (early, old.state) == (states.RUNNING, states.DRAINING)
    assert agent.instance.workloads.get().desired == "stop"


def test_nothing_new_comes_onto_a_machine_that_is_taken_back(
    world: World, owner: Access, cloudy: Project, run: Run, agent: FakeAgent
) -> None:
    world.spot = ("north",)
    Instance.objects.update(idle_seconds=3600)
    announce(agent)
    Instance.objects.filter(pk=agent.instance.pk).update(state="idle")
    BlockedOffer.objects.all().delete()

    other = submit(owner, cloudy, SPOT.replace("hello", "other"))

    assert other.replicas.get().instance_id != agent.instance.pk


def test_a_notice_that_is_said_again_is_no_news(run: Run, agent: FakeAgent) -> None:
    announce(agent)
    before = Instance.objects.get(pk=agent.instance.pk)
    announce(agent, in_seconds(60))

    after = Instance.objects.get(pk=agent.instance.pk)
    assert (after.interrupted_at, after.ends_at) == (before.interrupted_at, before.ends_at)
    assert run.replicas.count() == 2


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "9999-99-99T00:00:00Z",
        "2000-01-01T00:00:00Z",
        "2199-01-01T00:00:00Z",
        "\x00",
        "7" * 9999,
    ],
)
def test_whatever_an_agent_says_the_end_is_within_minutes(
    run: Run, agent: FakeAgent, text: str
) -> None:
    announce(agent, text)

    instance = Instance.objects.get(pk=agent.instance.pk)
    assert instance.interrupted_at is not None and instance.ends_at is not None
    assert timedelta(0) <= instance.ends_at - instance.interrupted_at <= timedelta(minutes=10)


def test_a_machine_that_is_no_spot_machine_is_not_believed(
    world: World, owner: Access, cloudy: Project
) -> None:
    agent = serving(submit(owner, cloudy).replicas.get())
    announce(agent)

    assert Instance.objects.get().interrupted_at is None
    assert Replica.objects.get().state == states.RUNNING


def test_a_spot_machine_that_vanishes_counts_as_an_interruption(
    world: World, run: Run, agent: FakeAgent
) -> None:
    world.take_back("i-0")
    pass_time(100)

    old, new = run.replicas.order_by("id")
    assert (old.state, old.exit_reason) == (states.FAILED, "interrupted")
    assert (new.state, new.region) == (states.PROVISIONING, "south")
    gone = machine_of(old)
    assert gone.state == "terminated"
    assert gone.interrupted_at is not None


def test_a_goodbye_of_a_spot_machine_that_fails_is_an_interruption(
    world: World, run: Run, agent: FakeAgent
) -> None:
    world.states["i-0"] = base.InstanceStatus(base.InstanceState.FAILED, message="reclaimed")
    over = [
        replace(each, state=wire.EXITED, reason=wire.REASON_HOST_STOPPED, ready=False)
        for each in agent.workloads.values()
    ]
    agent.instance.refresh_from_db()
    said = wire.Report(boot_id="boot-1", hostname="host", workloads=over, stopping=True)
    reports.take(instance=agent.instance, report=said, at=timezone.now())
    pass_time(20)

    assert run.replicas.latest("id").instance_id != agent.instance.pk
    assert Instance.objects.get(pk=agent.instance.pk).interrupted_at is not None
    assert [row.spot for row in BlockedOffer.objects.filter(region="north")] == [True]


def test_the_clouds_own_word_counts_where_the_agent_cannot_speak(world: World, run: Run) -> None:
    world.announce("i-0")
    pass_time(40)

    replica = run.replicas.get()
    assert (replica.state, replica.region) == (states.PROVISIONING, "south")
    assert "was taken back by the cloud before it called" in replica.tried[0]["why"]


def test_falls_back_to_on_demand_where_every_spot_market_is_taken(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.regions, world.spot = ("north",), ("north",)
    run = submit(owner, cloudy, SPOT)
    announce(serving(run.replicas.get()))

    old, new = run.replicas.order_by("id")
    assert (old.spot, new.spot) == (True, False)
    assert new.state == states.PROVISIONING
