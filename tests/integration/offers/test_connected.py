"""Offers of connected clouds: SQL against the rules in Python, with blocks, regions and several
backends of a kind."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.base import ErrorKind, Offer, ProviderError, Scope
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.offers import blocked, blocks, decide, queries
from apps.offers.catalog.as_offer import as_offer
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer, CatalogSource
from tests import factories
from tests.fakes.cloud import Cloud, World
from tests.fakes.rented import Rented
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]
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


@pytest.fixture
def regions(loaded: int) -> None:
    """A second region, spot prices in both, and zones where they are known."""
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


COPIED = (
    *("kind", "instance_type", "cpus", "memory_mib", "arch", "gpu_name", "gpu_count"),
    *("gpu_memory_mib", "gpu_vendor"),
)


@pytest.fixture
def aws(people: People, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Backend]]:
    """Two backends of one kind, the second of one region, and a fake with offers of its own."""
    monkeypatch.setattr(Cloud, "world", World(regions=("north", "south")))
    monkeypatch.setitem(PROVIDERS, "aws", Rented)
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    factories.backend(people.project, kind=Cloud.kind)
    yield [
        connected(people.project, "first", ()),
        connected(people.project, "second", ("eu-west-1",)),
    ]


def connected(of: Project, name: str, regions: tuple[str, ...]) -> Backend:
    config = crypto.encrypt({"regions": list(regions)})
    return Backend.objects.create(project=of, kind="aws", name=name, config=config)


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


def names(offers: Any) -> list[tuple[float, str, str, str, bool]]:
    return [(*decide.order(each), each.spot) for each in offers]


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_sql_finds_what_the_rules_find(
    people: People, aws: list[Backend], wish: dict[str, Any], seed: int | None
) -> None:
    at, spec = timezone.now(), asked_for(**wish)
    if seed is not None:
        block_some(aws, at, seed=seed)
    found = queries.find(project=people.project, spec=spec, at=at)
    fitting = decide.match(every_offer(aws, spec), spec).offers
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
    rented = [each for each in every_offer(aws, spec) if each.kind == "aws"]
    fit = [each for each in fitting if each.kind == "aws"]
    assert sum(found.why_not.values()) == len(rented) - len(fit)


@pytest.mark.usefixtures("regions")
def test_a_zone_that_is_blocked_is_left_out_of_its_offer(
    people: People, aws: list[Backend]
) -> None:
    spec = asked_for(instance_types=["m5.large"], regions=["eu-west-1"], backends=["second"])
    CatalogOffer.objects.filter(instance_type="m5.large").update(zones=["a", "b"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    blocked.block(backend=aws[1], offer=offer, error=None, zone="eu-west-1b", at=timezone.now())
    (left,) = queries.find(project=people.project, spec=spec).walk()
    assert (offer.zones, left.zones) == (("eu-west-1a", "eu-west-1b"), ("eu-west-1a",))


def test_a_block_is_over_at_its_end(people: People, aws: list[Backend]) -> None:
    at, spec = timezone.now(), asked_for(instance_types=["m5.large"], backends=["first"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    error = ProviderError("none is free", kind=ErrorKind.CAPACITY)
    blocked.block(backend=aws[0], offer=offer, error=error, at=at)

    def total(later: timedelta) -> int:
        return queries.find(project=people.project, spec=spec, at=at + later).total

    assert (total(timedelta(minutes=2)), total(timedelta(minutes=3))) == (0, 1)


def test_a_backend_that_does_not_work_is_said_to_be_that(
    people: People, aws: list[Backend]
) -> None:
    spec = asked_for(instance_types=["m5.large"], backends=["first"])
    (offer,) = queries.find(project=people.project, spec=spec).walk()
    error = ProviderError("the key was revoked", kind=ErrorKind.CREDENTIALS)
    at = datetime(2026, 11, 29, 21, 40, tzinfo=timezone.get_current_timezone())
    blocked.block(backend=aws[0], offer=offer, error=error, at=at)
    found = queries.find(project=people.project, spec=spec, at=at)

    assert not found.total
    assert queries.why_none(found) == (
        "No offer is free now: 1 offer that fits is blocked. "
        "Backend first cannot be used: the key was revoked (until 21:42 UTC)."
    )


def test_what_is_cheaper_and_blocked_is_remarked(people: People, aws: list[Backend]) -> None:
    spec = asked_for(gpu="H100:80GB:8", backends=["first"])
    dear = CatalogOffer.objects.get(instance_type="p5.48xlarge")
    dear.pk, dear.region, dear.usd_per_hour = None, "us-west-2", 900
    dear.save()
    cheapest = next(queries.find(project=people.project, spec=spec).walk())
    error = ProviderError("AWS has none.", kind=ErrorKind.CAPACITY)
    blocked.block(backend=aws[0], offer=cheapest, error=error, at=timezone.now())
    found = queries.find(project=people.project, spec=spec)
    (said, *_) = queries.remarks(found, spec)
    assert said.startswith("1 offer that fits is blocked for now. first us-east-1 p5.48xlarge: AWS")
    assert found.matches.offers


HOSTILE = [
    "'; drop table x--",
    "%",
    "_",
    ".*",
    "m5.lar_e",
    "us-east-_",
    "\\",
    "é",
    "\0",
    "x" * 5000,
]
KEYS = ("backend", "region", "instance_type", "gpu", "cpu", "memory", "disk", "max_price")


@pytest.mark.parametrize(
    "text", [*HOSTILE, "\u202e", "-1", "1e999", "nan", "9" * 400, "$(id)", "[]"]
)
@pytest.mark.parametrize("key", KEYS)
def test_a_wish_means_itself_or_is_refused(
    people: People, aws: list[Backend], key: str, text: str
) -> None:
    client = Client(headers=factories.token(people.bob).headers)
    for path in ("", "/groups"):
        answer = client.get(f"/api/projects/main/offers{path}", {key: text})
        found = json.loads(answer.content)
        if answer.status_code == 200:
            assert found["items"] == []
        else:
            # No address has a NUL.
            assert answer.status_code == (400 if text == "\0" else 422)
            assert len(found["error"]["message"]) < 400


def test_no_block_says_anything_of_another_backend(people: People, aws: list[Backend]) -> None:
    at = timezone.now()
    spec = asked_for(instance_types=["m5.large"], backends=["aws"])
    CatalogOffer.objects.filter(instance_type="m5.large").update(region="eu-west-1")
    offers = list(queries.find(project=people.project, spec=spec).walk())
    error = ProviderError("none is free", kind=ErrorKind.CAPACITY)
    blocked.block(backend=aws[0], offer=offers[0], error=error, at=at)
    found = queries.find(project=people.project, spec=spec)
    assert [each.backend for each in offers] == ["first", "second"]
    assert [each.backend for each in found.walk()] == ["second"]
    assert isinstance(found.block_of(offers[0]), blocks.Block)
