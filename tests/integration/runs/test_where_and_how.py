"""Options that say where a service runs and for how much: each acts, on the fake cloud."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import base
from apps.core.errors import Invalid
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.models import Replica
from apps.runs.planning.request import PlanRequest
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

# Prices: north 1.0 and 0.4 as spot, south 2.0 and 0.8.
Place = tuple[str, bool]


@pytest.fixture(autouse=True)
def two_regions(world: World) -> None:
    world.regions, world.spot = ("north", "south"), ("north", "south")
    world.zones = {"north": ("north1a", "north1b"), "south": ("south1a",)}


def planned(owner: Access, project: Project, **options: Any) -> list[Place]:
    plan = services.plan(access=owner, project=project, request=PlanRequest(YAML, **options))
    return [(offer.region, offer.spot) for offer in plan.offers]


NORTH, SOUTH = ("north", False), ("south", False)
CHEAP_NORTH, CHEAP_SOUTH = ("north", True), ("south", True)
AUTO = [CHEAP_NORTH, CHEAP_SOUTH, NORTH, SOUTH]


@pytest.mark.parametrize("way", ["profile", "overrides"])
@pytest.mark.parametrize(
    ("options", "places"),
    [
        ({}, [NORTH, SOUTH]),
        ({"spot_policy": "on-demand"}, [NORTH, SOUTH]),
        ({"spot_policy": "spot"}, [CHEAP_NORTH, CHEAP_SOUTH]),
        ({"spot_policy": "auto"}, AUTO),
        ({"spot_policy": "auto", "max_price": 0.9}, [CHEAP_NORTH, CHEAP_SOUTH]),
        ({"max_price": 1.5}, [NORTH]),
        ({"regions": ["SOUTH"]}, [SOUTH]),
        ({"availability_zones": ["south1a"]}, [SOUTH]),
        ({"availability_zones": ["North1B", "elsewhere9z"]}, [NORTH]),
        ({"instance_types": ["big"]}, [NORTH, SOUTH]),
        ({"backends": ["cloud"]}, [NORTH, SOUTH]),
    ],
    ids=str,
)
def test_offers_are_those_that_the_options_leave_cheapest_first(
    owner: Access, cloudy: Project, options: dict[str, Any], places: list[Place], way: str
) -> None:
    assert planned(owner, cloudy, **{way: options}) == places


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"availability_zones": ["north1z"]}, "availability_zones: big is not in north1z"),
        ({"availability_zones": ["north"]}, "availability_zones: big is not in north"),
        ({"regions": ["west"]}, "is not among west"),
        ({"max_price": 0.5}, "max_price: big costs more than $0.5/h"),
        ({"instance_types": ["small"]}, "is not among small"),
    ],
    ids=str,
)
def test_what_nothing_fits_is_a_sentence(
    owner: Access, cloudy: Project, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match="No offer fits") as refused:
        planned(owner, cloudy, overrides=options)

    assert said in str(refused.value)


def test_a_machine_is_asked_for_in_the_zones_alone_and_carries_the_tags(
    world: World, owner: Access, cloudy: Project
) -> None:
    text = YAML + "availability_zones: [north1b]\ntags: {team: web, 'cost:centre': '42'}\n"
    submit(owner, cloudy, text)

    (spec,) = world.specs
    assert spec.zones == ("north1b",)
    assert {"team": "web", "cost:centre": "42"}.items() <= spec.tags.items()
    assert spec.tags["dstack-web-project"] == "cloudy"


def test_no_tag_of_a_person_hides_one_of_ours(world: World, owner: Access, cloudy: Project) -> None:
    submit(owner, cloudy, YAML + "tags: {dstack-web-project: other}\n")

    assert world.specs[0].tags["dstack-web-project"] == "cloudy"


@pytest.mark.parametrize(("zone", "again"), [("north1a", True), ("north1b", False), ("", False)])
def test_an_idle_machine_is_taken_again_only_where_it_is_in_the_zones(
    world: World, owner: Access, cloudy: Project, zone: str, again: bool
) -> None:
    first = submit(owner, cloudy, YAML + "idle_duration: 1h\n")
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    services.stop(access=owner, run=first, abort=True)
    agent.sync()
    assert Instance.objects.get().state == "idle"
    Instance.objects.update(zone=zone)

    second = submit(owner, cloudy, YAML + "availability_zones: [north1a]\n")

    assert (second.replicas.get().instance_id == agent.instance.pk) is again


def test_spot_falls_back_to_on_demand_where_no_spot_can_be_had(
    world: World, owner: Access, cloudy: Project
) -> None:
    asked = []

    def refuse(offer: base.Offer) -> None:
        asked.append((offer.region, offer.spot))
        if offer.spot:
            raise base.ProviderError("no spot is free", kind=base.ErrorKind.CAPACITY)

    world.on_create = refuse
    submit(owner, cloudy, YAML + "spot_policy: auto\n")

    replica = Replica.objects.get()
    assert asked == [CHEAP_NORTH, CHEAP_SOUTH, NORTH]
    assert (replica.region, replica.spot, replica.state) == ("north", False, "provisioning")
    # What was refused is not asked for again soon.
    assert planned(owner, cloudy, overrides={"spot_policy": "auto"}) == [NORTH, SOUTH]
