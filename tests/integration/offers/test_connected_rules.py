"""Offers of connected clouds: SQL against the rules in Python, in two regions, with blocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from apps.backends.base import ErrorKind, Offer, ProviderError, Scope
from apps.backends.models import Backend
from apps.offers import blocked, decide, queries
from apps.offers.catalog.as_offer import as_offer
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer, CatalogSource
from tests.fakes.cloud import Cloud
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("regions")]
ZONES = ["a", "b", "c"]
WISHES: list[dict[str, Any]] = [
    {},
    {"gpu": "80GB"},
    {"gpu": "H100:8", "spot_policy": "auto"},
    {"gpu": "24GB..48GB:1..", "spot_policy": "spot"},
    {"gpu": "T4G"},
    {"cpu": "arm:4..8", "memory": "16GB..32GB", "spot_policy": "auto"},
    {"regions": ["eu-west-1"], "max_price": 3},
    {"backends": ["second"], "gpu": "T4"},
    {"backends": ["aws"], "instance_types": ["P5.48xlarge", "m5.large"]},
    {"availability_zones": ["us-east-1b", "EU-WEST-1C"], "spot_policy": "auto"},
    {"availability_zones": ["us-east-1", "nowhere", "1"], "spot_policy": "auto"},
    {"disk": "5TB.."},
    {"disk": "..500MB"},
]


# Without blocks, and with those that chance gives.
SEEDS = (None, 1, 2, 3)
COPIED = (
    *("kind", "instance_type", "cpus", "memory_mib", "arch", "gpu_name", "gpu_count"),
    *("gpu_memory_mib", "gpu_vendor"),
)


@pytest.fixture(scope="module")
def regions(loaded: int, django_db_blocker: DjangoDbBlocker) -> None:
    """A second region, spot prices in both, and zones where they are known; made once for all."""
    with django_db_blocker.unblock():
        add_regions()


def add_regions() -> None:
    source = CatalogSource.objects.create(
        key="aws-test", kind="aws", words="the test", priced_on=date(2026, 11, 1)
    )
    rows = list(CatalogOffer.objects.filter(kind="aws"))
    made = []
    for number, row in enumerate(rows):
        for region, spot, factor in (
            ("us-east-1", True, 3),
            ("eu-west-1", False, 11),
            ("eu-west-1", True, 5),
        ):
            made.append(
                CatalogOffer(
                    **{f: getattr(row, f) for f in COPIED},
                    region=region,
                    spot=spot,
                    usd_per_hour=row.usd_per_hour * factor / 10,
                    zones=ZONES[: number % 4],
                    source=source,
                )
            )
    CatalogOffer.objects.bulk_create(made)


def every_offer(backends: list[Backend], spec: Any) -> list[Offer]:
    """What there is, by Python alone."""
    rows = CatalogOffer.objects.filter(kind="aws")
    disk = spec.resources.disk_mib
    return [
        as_offer(row, disk=disk, backend=backend.name)
        for backend in backends
        for row in rows
        if backend.name == "first" or row.region == "eu-west-1"
    ] + [
        Offer("cloud", region, "big", each.hardware, each.price_usd_per_hour, kind="cloud")
        for each in Cloud(None).offers()
        for region in [each.region]
    ]


def block_some(backends: list[Backend], at: datetime, *, seed: int) -> None:
    """Refusals of every scope, about offers that there are."""
    chance = random.Random(seed)
    rows = list(CatalogOffer.objects.filter(kind="aws").order_by("usd_per_hour", "pk"))
    some = rows[:20] + [row for row in rows if row.gpu_count][:20] + chance.sample(rows, 20)
    for row in some:
        offer = as_offer(row, disk=asked_for().resources.disk_mib)
        scope = chance.choice([*Scope][:4])
        error = ProviderError("none is free", kind=ErrorKind.CAPACITY, scope=scope)
        backend = chance.choice(backends)
        zones = chance.sample(offer.zones, chance.randint(0, len(offer.zones))) or [""]
        for zone in zones:
            about = zone if scope is Scope.OFFER_ZONE else ""
            blocked.block(backend=backend, offer=offer, error=error, zone=about, at=at)


def names(offers: Any) -> list[tuple[object, ...]]:
    return [(*decide.order(each), each.spot) for each in offers]


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_sql_finds_what_the_rules_find(
    people: People, two_of_aws: list[Backend], wish: dict[str, Any]
) -> None:
    at, spec = timezone.now(), asked_for(**wish)
    offers = every_offer(two_of_aws, spec)
    fitting = decide.match(offers, spec).offers
    unfit = sum(each.kind == "aws" for each in offers)
    unfit -= sum(each.kind == "aws" for each in fitting)
    for seed in SEEDS:
        with transaction.atomic():
            if seed is not None:
                block_some(two_of_aws, at, seed=seed)
            found = queries.find(project=people.project, spec=spec, at=at)
            agree(found, fitting, unfit=unfit)
            transaction.set_rollback(True)


def agree(found: queries.Found, fitting: Sequence[Offer], *, unfit: int) -> None:
    left = [each for each in fitting if found.block_of(each) is None]

    assert found.total == len(left)
    assert sorted(names(found.walk())) == sorted(names(left))
    assert [each.price_usd_per_hour for each in found.walk()] == [
        each.price_usd_per_hour for each in left
    ]
    assert names(found.matches.offers) == names(islice(found.walk(), 50))
    assert found.max_price_usd_per_hour == max((e.price_usd_per_hour for e in left), default=None)
    assert found.blocked_count == len(fitting) - len(left)
    seen = list(found.walk_whole())
    assert sorted(names(each.offer for each in seen)) == sorted(names(fitting))
    assert sum(each.block is not None for each in seen) == found.blocked_count
    assert sum(found.why_not.values()) == unfit


def test_a_zone_that_is_blocked_is_left_out_of_its_offer(
    people: People, two_of_aws: list[Backend]
) -> None:
    spec = asked_for(instance_types=["m5.large"], regions=["eu-west-1"], backends=["second"])
    CatalogOffer.objects.filter(instance_type="m5.large").update(zones=["a", "b"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    blocked.block(
        backend=two_of_aws[1], offer=offer, error=None, zone="eu-west-1b", at=timezone.now()
    )
    (left,) = queries.find(project=people.project, spec=spec).walk()
    assert (offer.zones, left.zones) == (("eu-west-1a", "eu-west-1b"), ("eu-west-1a",))
