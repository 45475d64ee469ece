"""What clouds do to us: no machine is leaked, none is made twice, no run is lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.backends import services as backends
from apps.core import notifications
from apps.core.models import Event
from apps.core.transition import transition
from apps.instances import decide as instance_rules
from apps.instances.models import Instance
from apps.instances.strays import orphans
from apps.runs import services
from apps.runs.models import Replica, Run
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import RETRY, YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


def test_an_answer_that_is_lost_once_makes_one_machine(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.loses_answers = 1
    submit(owner, cloudy)
    pass_time(60)

    assert set(world.made.values()) == {1}
    assert Instance.objects.get().state == "booting"
    assert set(world.owners.values()) == {backends.server_id()}
    tags = {"dstack-web-project": "cloudy", "dstack-web-run": "hello"}
    assert list(world.tags.values()) == [tags]


def test_an_answer_that_never_comes_leaks_no_machine(
    world: World, owner: Access, cloudy: Project
) -> None:
    """The machine exists, we were never told, and gave up: it is an orphan, found by its name."""
    submitted = submit(owner, cloudy)
    (made,) = world.machines.values()
    Instance.objects.update(state="creating", ref="")
    world.is_away = True
    at = pass_time(instance_rules.MAX_ATTEMPTS * 400)
    world.is_away = False
    gave_up = Instance.objects.get()
    ended = orphans.collect_orphans(at=at + orphans.GRACE)

    assert made == gave_up.boot_name
    assert gave_up.state == "failed"
    assert [each.pk for each in ended] == [gave_up.pk]
    assert world.machines == {}
    assert "found still there" in Instance.objects.get().error
    assert Run.objects.get(pk=submitted.pk).state == "failed"


def test_a_machine_that_comes_after_its_row_is_over_is_ended_at_once(
    world: World, owner: Access, cloudy: Project
) -> None:
    """Whoever asked for it slept in the call, and others gave up meanwhile."""

    def give_up(offer: base.Offer) -> None:
        instance = Instance.objects.get()
        transition(instance, "failed", at=timezone.now(), reason="given up", next_check_at=None)
        # A call has a thread of its own.
        connection.close()

    world.on_create = give_up
    submit(owner, cloudy)

    assert sum(world.made.values()) == 1
    assert world.machines == {}
    assert Instance.objects.get().state == "failed"


def test_a_machine_that_was_said_to_be_ended_and_is_not_is_asked_for_until_it_is_gone(
    world: World, owner: Access, cloudy: Project
) -> None:
    submitted = submit(owner, cloudy)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    world.ends_nothing = True
    services.stop(access=owner, run=submitted)
    agent.sync()
    pass_time(3600)
    meanwhile = (Instance.objects.get().state, len(world.machines))
    world.ends_nothing = False
    pass_time(60)

    assert meanwhile == ("terminating", 1)
    assert Instance.objects.get().state == "terminated"
    assert world.machines == {}
    assert Run.objects.get(pk=submitted.pk).state == "stopped"


def test_a_machine_that_its_cloud_only_says_to_be_gone_is_ended_as_an_orphan(
    world: World, owner: Access, cloudy: Project
) -> None:
    submitted = submit(owner, cloudy)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    hidden = dict(world.machines)
    world.machines.clear()
    services.stop(access=owner, run=submitted)
    agent.sync()
    at = pass_time(60)
    world.machines.update(hidden)
    orphans.collect_orphans(at=at + orphans.GRACE)

    assert Instance.objects.get().state == "terminated"
    assert world.machines == {}


def test_a_machine_that_is_idle_takes_one_replica(
    world: World, owner: Access, cloudy: Project, settings: Any
) -> None:
    """Both are placed before anybody looks at the machine again."""
    stopped = submit(owner, cloudy, YAML + "idle_duration: 5m\n")
    idle = Instance.objects.get()
    agent = FakeAgent(idle)
    agent.sync()
    agent.serve()
    services.stop(access=owner, run=stopped, abort=True)
    agent.sync()
    idle.refresh_from_db()
    assert idle.state == "idle"

    submit(owner, cloudy, YAML + "replicas: 2\n")

    placed = Replica.objects.filter(state="provisioning").values_list("instance_id", flat=True)
    assert len(set(placed)) == 2
    assert idle.pk in set(placed)
    assert len(world.machines) == 2


def test_a_machine_that_is_wanted_or_another_servers_is_left_alone(
    world: World, owner: Access, cloudy: Project
) -> None:
    submit(owner, cloudy)
    world.machines["i-other"] = "dstack-00000000-0000-0000-0000-000000000000"
    world.machines["i-pet"] = "my-own-machine"
    ours = factories.instance(cloudy, state="failed", state_at=timezone.now())
    world.machines["i-twin"] = ours.boot_name
    world.owners["i-twin"] = "00000000-0000-0000-0000-000000000000"
    world.owners["i-other"] = world.owners["i-pet"] = backends.server_id()
    world.tags |= {"i-other": {}, "i-pet": {}}
    before = dict(world.machines)

    assert orphans.collect_orphans(at=timezone.now() + timedelta(days=1)) == []
    assert world.machines == before


def test_a_backend_that_is_away_is_asked_again_until_the_machine_is_ended(
    world: World, owner: Access, cloudy: Project
) -> None:
    submit(owner, cloudy)
    world.is_away = True
    first = Instance.objects.get()
    Instance.objects.update(state="terminating", next_check_at=timezone.now())
    pass_time(600)
    meanwhile = Instance.objects.get(pk=first.pk).state
    world.is_away = False
    pass_time(600)

    assert meanwhile == "terminating"
    assert Instance.objects.get(pk=first.pk).state == "terminated"
    assert first.boot_name not in world.machines.values()


def test_no_capacity_is_a_failure_in_words_and_is_retried_where_that_is_asked_for(
    world: World, owner: Access, cloudy: Project
) -> None:
    def refuse(offer: base.Offer) -> None:
        raise base.ProviderError(
            f"no machine is free in {offer.region}", kind=base.ErrorKind.CAPACITY
        )

    world.on_create = refuse
    failed = submit(owner, cloudy)
    notifications.transitioned("run", "scaled", [failed.pk])
    retried = submit(owner, cloudy, RETRY.replace("hello", "again"))
    first = Run.objects.get(pk=retried.pk).state
    world.on_create = lambda offer: None
    pass_time(400)

    failed.refresh_from_db()
    said = "No offer could be had. cloud north big: no machine is free in north."
    assert (failed.state, failed.error) == ("failed", said)
    assert first == "provisioning"
    assert len(world.machines) == 1
    assert set(world.made.values()) == {1}


def refusing(world: World, refused: dict[str, base.ProviderError]) -> list[str]:
    """Let the cloud refuse machines in these regions; returns where it is asked for some."""
    asked: list[str] = []

    def answer(offer: base.Offer) -> None:
        asked.append(offer.region)
        if offer.region in refused:
            raise refused[offer.region]

    world.regions, world.on_create = ("north", "south", "west"), answer
    return asked


FULL = base.ProviderError("no machine is free", kind=base.ErrorKind.CAPACITY)
QUOTA = base.ProviderError("0 of 8 GPUs are left.", kind=base.ErrorKind.QUOTA)


def test_the_next_offer_is_taken_at_once(world: World, owner: Access, cloudy: Project) -> None:
    asked = refusing(world, {"north": FULL, "south": QUOTA})
    run = submit(owner, cloudy)
    FakeAgent(Instance.objects.get(region="west")).sync()

    replica = Replica.objects.get()
    events = Event.objects.filter(object_id=replica.pk).order_by("version")
    assert asked == ["north", "south", "west"]
    assert (replica.state, replica.region, replica.attempt) == ("starting", "west", 0)
    assert len(world.machines) == 1
    assert list(events.values_list("new", "reason"))[1:5] == [
        ("provisioning", "cloud north big"),
        ("pending", "cloud north big: no machine is free"),
        ("provisioning", "cloud south big"),
        ("pending", "cloud south big: 0 of 8 GPUs are left"),
    ]
    assert Run.objects.get(pk=run.pk).state == "provisioning"


def test_when_no_offer_is_left_each_is_told_with_its_reason(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked = refusing(world, {"north": FULL, "south": QUOTA, "west": FULL})
    run = submit(owner, cloudy)

    run.refresh_from_db()
    assert asked == ["north", "south", "west"]
    assert (run.state, run.error) == (
        "failed",
        "No offer could be had. cloud north big: no machine is free. "
        "cloud south big: 0 of 8 GPUs are left. cloud west big: no machine is free.",
    )


def test_retry_begins_with_the_first_offer_again(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked = refusing(world, {"north": FULL, "south": FULL, "west": FULL})
    submit(owner, cloudy, RETRY)
    # The replacement that follows at once asks for nothing that has just been refused.
    tried = list(asked)
    asked.clear()
    world.on_create = lambda offer: asked.append(offer.region)
    pass_time(100)
    meanwhile = list(asked)
    pass_time(400)

    assert tried == ["north", "south", "west"]
    assert meanwhile == []
    assert asked == ["north"]
    waited = Replica.objects.filter(state="failed").order_by("attempt", "pk").last()
    assert waited is not None
    assert waited.message.endswith(
        "3 of these were refused a short while ago and not asked for again."
    )


def test_an_account_that_does_not_work_is_asked_once(
    world: World, owner: Access, cloudy: Project
) -> None:
    wrong = base.ProviderError("the key was revoked", kind=base.ErrorKind.CREDENTIALS)
    asked = refusing(world, dict.fromkeys(("north", "south"), wrong))
    run = submit(owner, cloudy)

    run.refresh_from_db()
    assert asked == ["north"]
    assert run.error == "Backend cloud cannot be used: the key was revoked."


def test_a_replica_whose_time_to_start_is_over_tries_no_other_offer(
    world: World, owner: Access, cloudy: Project, settings: Any
) -> None:
    settings.DSTACK_START_DEADLINE_SECONDS = 0
    asked = refusing(world, {"north": FULL})
    run = submit(owner, cloudy)

    run.refresh_from_db()
    assert (asked, run.state) == (["north"], "failed")
    assert run.error.endswith("cloud north big: no machine is free.")
