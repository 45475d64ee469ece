"""A refusal, a machine that did not boot and one that was taken back block their offer."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.instances.models import Instance
from apps.offers import blocked, queries
from apps.offers.models import BlockedOffer
from apps.runs.models import Replica
from apps.specs.parse import parse
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import HARDWARE, World
from tests.integration.runs.clouds import RETRY, YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


def blocks() -> list[tuple[str, str, str]]:
    rows = BlockedOffer.objects.order_by("pk")
    return [(row.region, row.kind, row.reason) for row in rows]


def test_a_refusal_blocks_its_offer(world: World, owner: Access, cloudy: Project) -> None:
    def refuse(offer: base.Offer) -> None:
        if offer.region == "north":
            raise base.ProviderError("no machine is free", kind=base.ErrorKind.CAPACITY)

    world.regions, world.on_create = ("north", "south"), refuse
    submit(owner, cloudy)
    assert blocks() == [("north", "capacity", "no machine is free")]


def test_an_answer_that_is_lost_blocks_nothing(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.loses_answers = 1
    submit(owner, cloudy)
    pass_time(60)
    assert blocks() == []


def test_a_machine_that_did_not_boot_blocks_its_offer(
    world: World, owner: Access, cloudy: Project
) -> None:
    world.regions = ("north", "south")
    submit(owner, cloudy)
    (ref,) = world.machines
    world.states[ref] = base.InstanceStatus(base.InstanceState.FAILED, message="no kernel")
    pass_time(60)

    (only,) = blocks()
    assert only[:2] == ("north", "capacity") and "failed before it called: no kernel" in only[2]


def test_a_spot_machine_that_is_gone_blocks_its_offer(
    world: World, owner: Access, cloudy: Project
) -> None:
    for is_spot in (False, True):
        submit(owner, cloudy, f"type: service\nname: s{is_spot:d}\nimage: a\nport: 80\n")
        instance = Instance.objects.get(state="booting")
        FakeAgent(instance).sync()
        instance.offer["spot"] = is_spot
        Instance.objects.filter(pk=instance.pk).update(offer=instance.offer, state="lost")
        world.machines.clear()
        pass_time(30)
        Instance.objects.exclude(pk=instance.pk).delete()
        assert blocks() == [("north", "capacity", "the cloud took a spot machine back")] * is_spot


def test_a_replica_asks_for_nothing_that_another_was_refused(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked: list[str] = []

    def refuse(offer: base.Offer) -> None:
        asked.append(offer.region)
        if offer.region == "north":
            raise base.ProviderError("no machine is free", kind=base.ErrorKind.CAPACITY)

    world.regions, world.on_create = ("north", "south"), refuse
    submit(owner, cloudy)
    submit(owner, cloudy, "type: service\nname: second\nimage: web\nport: 80\n")
    assert asked == ["north", "south", "south"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [(base.ErrorKind.CAPACITY, "no-capacity"), (base.ErrorKind.CREDENTIALS, "no-backend")],
)
def test_where_all_is_blocked_a_replica_ends_as_if_it_had_asked(
    world: World, owner: Access, cloudy: Project, kind: base.ErrorKind, code: str
) -> None:
    offer = base.Offer("cloud", "north", "big", HARDWARE, 1.0)
    error = base.ProviderError("go away", kind=kind)
    blocked.block(backend=cloudy.backends.get(), offer=offer, error=error, at=timezone.now())
    submit(owner, cloudy, RETRY)

    first = Replica.objects.earliest("pk")
    assert (first.exit_reason, world.machines) == (code, {})
    assert "go away" in first.message and "not asked for again" in first.message
    assert [each["why"] for each in first.tried] == ["go away"]


def faulty(world: World, *regions: str, kind: base.ErrorKind) -> list[str]:
    """Have these regions answer nothing but this; return what is asked for, in order."""
    asked: list[str] = []

    def refuse(offer: base.Offer) -> None:
        asked.append(offer.region)
        if offer.region in regions:
            raise base.ProviderError(f"no {kind} here", kind=kind, scope=base.Scope.REGION)

    world.regions, world.spot = ("north", "south", "west"), ("north",)
    world.on_create = refuse
    return asked


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        (base.ErrorKind.SETUP, 1),
        (base.ErrorKind.QUOTA, 1),
        (base.ErrorKind.UNREACHABLE, 5),
        (base.ErrorKind.THROTTLED, 5),
    ],
)
def test_a_region_that_is_out_leaves_the_others(
    world: World, owner: Access, cloudy: Project, kind: base.ErrorKind, times: int
) -> None:
    asked = faulty(world, "north", kind=kind)
    submit(owner, cloudy)
    pass_time(400)
    replica = Replica.objects.get()

    assert asked == [*["north"] * times, "south"]
    assert (replica.region, len(world.machines)) == ("south", 1)
    assert blocks() == [("north", kind, f"no {kind} here")] * (kind != base.ErrorKind.THROTTLED)
    spec = parse(YAML)
    found = queries.find(project=cloudy, spec=spec)
    why = {seen.offer.region: seen.block and seen.block.reason for seen in found.walk_whole()}
    is_blocked = kind != base.ErrorKind.THROTTLED
    assert why == {"north": f"no {kind} here" if is_blocked else None, "south": None, "west": None}
    is_out = kind in (base.ErrorKind.SETUP, base.ErrorKind.UNREACHABLE)
    begins = [said.partition(" (until ")[0] for said in found.shut]
    assert begins == [f"cloud cannot be used in north: no {kind} here"] * is_out


def test_where_two_regions_do_not_answer_their_cloud_is_out(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked = faulty(world, "north", "south", kind=base.ErrorKind.UNREACHABLE)
    submit(owner, cloudy)
    pass_time(800)

    assert asked == ["north"] * 5 + ["south"] * 5
    replica = Replica.objects.earliest("pk")
    assert (replica.exit_reason, world.machines) == ("no-backend", {})


def test_where_every_region_is_out_a_replica_says_each(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked = faulty(world, "north", "south", "west", kind=base.ErrorKind.SETUP)
    submit(owner, cloudy)
    pass_time(60)

    replica = Replica.objects.earliest("pk")
    assert (asked, replica.exit_reason) == (["north", "south", "west"], "no-backend")
    for region in asked:
        assert f"Backend cloud cannot be used in {region}: no setup here." in replica.message
