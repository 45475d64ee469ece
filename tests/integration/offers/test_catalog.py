"""The catalog's snapshot in PostgreSQL, and its SQL against the rules in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import cache

import pytest
from pytest_django import DjangoDbBlocker

from apps.backends.base import Offer
from apps.offers import decide
from apps.offers.catalog import match, snapshot
from apps.offers.catalog.as_offer import as_offer
from apps.offers.catalog.kinds import KINDS
from apps.offers.catalog.supply import Supply
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer, CatalogSource
from apps.specs.fields.ranges import Range
from apps.specs.parse import parse

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]

ALL = Supply(tuple(KINDS))
WISHES: list[dict[str, object]] = [
    {},
    {"gpu": "80GB"},
    {"gpu": "A100"},
    {"gpu": "a100:80GB:2..4"},
    {"gpu": "H100:1.."},
    {"gpu": "H100:8", "max_price": 100},
    {"gpu": "24GB..48GB:1..2", "spot_policy": "on-demand"},
    {"gpu": "nvidia:L4,T4"},
    {"gpu": "amd"},
    {"gpu": "0"},
    {"gpu": "0..1"},
    {"gpu": {"total_memory": "160GB.."}},
    {"gpu": {"compute_capability": 8.9}},
    {"gpu": {"compute_capability": "9.0", "count": "0.."}},
    {"gpu": "RTX5090"},
    {"gpu": "T4G"},
    {"cpu": "arm:4..8", "memory": "16GB..32GB"},
    {"cpu": "64..", "memory": "..256GB"},
    {"disk": "5TB.."},
    {"disk": "..20GB"},
    {"spot_policy": "spot"},
    {"backends": ["azure"], "regions": ["WestUS2", "westus3"]},
    {"instance_types": ["M5.Large", "Standard_NC24ads_A100_v4"]},
    {"max_price": 0.1},
    {"regions": ["us-east-_"]},
]


def test_loads_once(loaded: int) -> None:
    assert loaded == CatalogOffer.objects.count() > 10_000
    assert snapshot.load() == 0
    assert {each.key for each in CatalogSource.objects.all()} == set(snapshot.SOURCES)


def test_a_newer_snapshot_takes_the_place_of_the_older(loaded: int) -> None:
    CatalogSource.objects.update(digest="of an older version")
    CatalogOffer.objects.filter(kind="aws").update(usd_per_hour=1)
    assert snapshot.load() == loaded
    assert CatalogOffer.objects.get(instance_type="p5.4xlarge").usd_per_hour == Decimal("6.88")


def test_keeps_what_a_cloud_itself_said(loaded: int) -> None:
    CatalogSource.objects.update(digest="of an older version")
    said = CatalogSource.objects.create(
        key="aws-pricing", kind="aws", words="AWS's price list", priced_on=date(2026, 11, 29)
    )
    CatalogOffer.objects.filter(kind="aws").update(source=said)
    loaded_again = snapshot.load()
    assert loaded_again == CatalogOffer.objects.exclude(kind="aws").count() < loaded
    assert not CatalogOffer.objects.filter(source__key="aws-karpenter").exists()


@pytest.fixture(scope="module")
def as_offers(loaded: int, django_db_blocker: DjangoDbBlocker) -> Callable[[Range], list[Offer]]:
    """The whole catalog as offers with the disk that is asked for; read once for all tests."""
    with django_db_blocker.unblock():
        rows = list(CatalogOffer.objects.all())
    return cache(lambda disk: [as_offer(row, disk=disk) for row in rows])


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_sql_finds_what_the_rules_find(
    as_offers: Callable[[Range], list[Offer]], wish: dict[str, object]
) -> None:
    spec = asked_for(**wish)
    found = match.find(spec, ALL, limit=50)
    rows = as_offers(spec.resources.disk_mib)
    expected = decide.match(rows, spec)

    assert found.count == len(expected.offers)
    names = [(row.kind, row.region, row.instance_type, row.spot) for row in found.cheapest]
    assert names == [(o.backend, o.region, o.instance, o.spot) for o in expected.offers[:50]]
    prices = [float(row.usd_per_hour) for row in found.cheapest]
    assert prices == [offer.price_usd_per_hour for offer in expected.offers[:50]]
    most = found.max_usd_per_hour
    assert (None if most is None else float(most)) == expected.max_price_usd_per_hour
    refused = sum(match.why_not(spec, ALL).values())
    assert refused == len(rows) - len(expected.offers)


@pytest.mark.parametrize(
    ("more", "base_image", "with_gpu", "without"),
    [
        ("", "dstack-web/base", False, True),
        ("", "", False, True),
        ("", "registry.test/base", True, True),
        ("", None, True, True),
        ("image: vllm/vllm-openai\n", "dstack-web/base", True, True),
        ("privileged: true\n", "dstack-web/base", False, False),
        ("user: '1000'\n", "", False, False),
        ("privileged: true\n", "registry.test/base", True, True),
    ],
)
def test_a_new_machine_with_gpus_needs_an_image_that_it_can_get(
    more: str, base_image: str | None, with_gpu: bool, without: bool
) -> None:
    base = f"type: service\nport: 80\ncommands: [serve]\nregions: [us-east-1]\n{more}"
    supply = replace(ALL, base_image=base_image)

    found = [
        match.find(parse(f"{base}resources: {{gpu: {gpu}}}\n"), supply, limit=1)
        for gpu in ("1..", "0")
    ]

    assert [bool(each.count) for each in found] == [with_gpu, without]
    told = match.why_not(parse(f"{base}resources: {{gpu: 1..}}\n"), supply)
    about_images = [why for why in told if why.partition(":")[0] in ("image", "user", "privileged")]
    assert bool(about_images) != with_gpu


@pytest.mark.parametrize(("more", "has_amd"), [("", False), ("privileged: true\n", False),
                                                 ("image: a/b\n", True)])  # fmt: skip
def test_a_new_machine_with_gpus_of_nvidia_gets_the_image_for_them(
    more: str, has_amd: bool
) -> None:
    text = f"type: service\nport: 80\ncommands: [serve]\n{more}resources: {{gpu: {{vendor: %s}}}}\n"
    supply = replace(ALL, base_image="dstack-web/base", gpu_base_image="registry.test/cuda")

    nvidia, amd = (
        match.find(parse(text % vendor), supply, limit=1).count for vendor in ("nvidia", "amd")
    )

    assert nvidia > 0
    assert (amd > 0) == has_amd


def test_the_page_that_people_know_comes_out() -> None:
    spec = asked_for(gpu="80GB", backends=["azure"], regions=["westus3", "westus2"])
    first, second, *_ = match.find(spec, ALL, limit=3).cheapest
    shown = [as_offer(row, disk=spec.resources.disk_mib) for row in (first, second)]
    assert [(each.region, each.price_usd_per_hour) for each in shown] == [
        ("westus2", 3.673),
        ("westus3", 3.673),
    ]
    assert {str(each.hardware) for each in shown} == {"24xCPU, 220GB, 1xA100 (80GB), 100GB (disk)"}


def test_a_cloud_that_is_not_asked_for_is_left_out() -> None:
    found = match.find(asked_for(), Supply(("gcp",)), limit=50)
    assert {row.kind for row in found.cheapest} == {"gcp"}


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"gpu": "RTX5090"}, "resources.gpu: is not RTX5090"),
        ({"gpu": "80GB:16"}, "resources.gpu: does not have 16 GPUs"),
        ({"cpu": "2000.."}, "resources.cpu: does not have 2000.. CPUs"),
        ({"backends": ["vastai"]}, "backends: is not among vastai"),
        ({"max_price": 0.0001}, "max_price: costs more than $0.0001/h"),
    ],
)
def test_says_why_nothing_fits(wish: dict[str, object], reason: str) -> None:
    spec = asked_for(**wish)
    assert match.find(spec, ALL, limit=5).count == 0
    assert reason in match.why_not(spec, ALL)
