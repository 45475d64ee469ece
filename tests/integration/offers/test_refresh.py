"""Prices from the cloud itself: AWS emulated by moto, its price list by a fake written by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.backends.base import ErrorKind, ProviderError
from apps.backends.models import Backend
from apps.backends.providers.aws.provider import AwsProvider
from apps.backends.registry import PROVIDERS
from apps.core import crypto
from apps.offers import queries
from apps.offers.catalog import refresh, snapshot, tasks
from apps.offers.lists import listing
from apps.offers.lists.wishes import asked_for
from apps.offers.models import CatalogOffer, CatalogSource
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.people import People

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]
EAST, WEST = "us-east-1", "us-west-2"
CREDS = {
    "type": "access_key",
    "access_key": "AKIAIOSFODNN7EXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG",
}


@pytest.fixture
def backend(people: People, aws: Emulator, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setitem(PROVIDERS, "aws", AwsProvider)
    monkeypatch.setattr(tasks, "_failed_at", {})
    monkeypatch.setattr(tasks, "_regions", {})
    aws.faults.prices = {
        (EAST, "m5.large"): 0.097,
        (EAST, "p5.48xlarge"): 55.04,
        (EAST, "g5.xlarge"): 1.006,
        (EAST, "no-such.large"): 0.01,
        (EAST, "t3.micro"): "{not json",
        (WEST, "m5.large"): 0.098,
    }
    config = crypto.encrypt({"creds": CREDS, "regions": [EAST, WEST]})
    return Backend.objects.create(project=people.project, kind="aws", name="aws", config=config)


def rows(region: str, *, spot: bool) -> dict[str, CatalogOffer]:
    found = CatalogOffer.objects.filter(kind="aws", region=region, spot=spot)
    return {row.instance_type: row for row in found.select_related("source")}


def test_the_clouds_own_prices_take_the_place_of_the_snapshots(backend: Backend) -> None:
    at = timezone.now()
    assert refresh.refresh(backend, EAST, spot=False, at=at) == 3

    found = rows(EAST, spot=False)
    assert set(found) == {"m5.large", "p5.48xlarge", "g5.xlarge"}
    h100 = found["p5.48xlarge"]
    assert (h100.gpu_name, h100.gpu_count, h100.gpu_memory_mib) == ("H100", 8, 81920)
    assert (h100.usd_per_hour, h100.cpus, h100.arch) == (Decimal("55.04"), 192, "x86")
    assert len(found["m5.large"].zones) > 2 and set("".join(found["m5.large"].zones)) <= set(
        "abcdef"
    )
    assert (h100.source.words, h100.source.priced_on) == ("AWS's own price list", at.date())
    # A newer version of the snapshot brings none of the older prices back.
    CatalogSource.objects.exclude(digest="").update(digest="of an older version")
    snapshot.load()
    assert set(rows(EAST, spot=False)) == set(found)


def test_spot_comes_beside_it_and_a_snapshot_is_kept_out_of_neither(
    people: People, backend: Backend
) -> None:
    count = refresh.refresh(backend, EAST, spot=True, at=timezone.now())
    assert count == len(rows(EAST, spot=True)) > 500
    before = len(rows(EAST, spot=False))
    CatalogSource.objects.exclude(digest="").update(digest="of an older version")
    snapshot.load()
    assert len(rows(EAST, spot=False)) == before > 500
    spot = asked_for(gpu="H100:8", spot_policy="spot")
    offers = list(queries.find(project=people.project, spec=spot).walk())
    assert offers and {offer.spot for offer in offers} == {True}
    assert all(zone.startswith(EAST) for offer in offers for zone in offer.zones)


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        ("GetProducts", "AccessDeniedException", ErrorKind.SETUP),
        ("DescribeInstanceTypes", "UnauthorizedOperation", ErrorKind.SETUP),
        ("DescribeInstanceTypeOfferings", "RequestLimitExceeded", ErrorKind.THROTTLED),
    ],
)
def test_a_refresh_that_fails_leaves_what_there_was(
    backend: Backend, aws: Emulator, action: str, code: str, kind: ErrorKind
) -> None:
    before = {name: row.usd_per_hour for name, row in rows(EAST, spot=False).items()}
    aws.faults.refused[action] = Refusal(code)
    with pytest.raises(ProviderError) as refused:
        refresh.refresh(backend, EAST, spot=False, at=timezone.now())
    assert refused.value.kind is kind
    assert {n: row.usd_per_hour for n, row in rows(EAST, spot=False).items()} == before


def test_a_cloud_that_says_nothing_leaves_what_there_was(backend: Backend, aws: Emulator) -> None:
    aws.faults.prices = {}
    assert refresh.refresh(backend, EAST, spot=False, at=timezone.now()) == 0
    assert len(rows(EAST, spot=False)) > 500


def test_what_is_rented_no_more_goes(backend: Backend, aws: Emulator) -> None:
    at = timezone.now()
    refresh.refresh(backend, EAST, spot=False, at=at)
    del aws.faults.prices[EAST, "g5.xlarge"]
    aws.faults.prices[EAST, "m5.large"] = 0.5
    refresh.refresh(backend, EAST, spot=False, at=at + timedelta(days=1))
    found = rows(EAST, spot=False)
    assert set(found) == {"m5.large", "p5.48xlarge"}
    assert found["m5.large"].usd_per_hour == Decimal("0.5")
    assert found["m5.large"].source.priced_on == (at + timedelta(days=1)).date()


def test_beat_takes_one_region_at_a_time_until_all_are_fresh(backend: Backend) -> None:
    at = timezone.now()
    done = [tasks.refresh_oldest(at=at) for _ in range(5)]
    assert sorted(filter(None, done)) == [
        ("aws", region, spot) for region in (EAST, WEST) for spot in (False, True)
    ]
    assert done[4] is None
    assert tasks.refresh_oldest(at=at + refresh.EVERY) is not None


def test_a_region_that_fails_keeps_no_other_waiting(backend: Backend, aws: Emulator) -> None:
    aws.faults.refused["GetProducts"] = Refusal("AccessDeniedException")
    at = timezone.now()
    done = [tasks.refresh_oldest(at=at) for _ in range(5)]
    assert len(set(done[:4])) == 4 and done[4] is None
    assert rows(WEST, spot=True) and not rows(WEST, spot=False)
    aws.faults.refused.clear()
    assert tasks.refresh_oldest(at=at + tasks.PAUSE) == ("aws", EAST, False)


def test_a_backend_of_all_regions_asks_which_they_are(backend: Backend, aws: Emulator) -> None:
    config = crypto.encrypt({"creds": CREDS})
    Backend.objects.filter(pk=backend.pk).update(config=config)
    at = timezone.now()
    tasks.refresh_oldest(at=at)
    tasks.refresh_oldest(at=at)
    assert aws.faults.asked["DescribeRegions"] == 1


def test_a_backend_that_is_closed_is_asked_nothing(backend: Backend, aws: Emulator) -> None:
    Backend.objects.filter(pk=backend.pk).update(closed_at=timezone.now())
    assert tasks.refresh_oldest(at=timezone.now()) is None
    assert not aws.faults.asked


@pytest.mark.parametrize(("days", "stale"), [(0, False), (7, False), (8, True), (160, True)])
def test_old_prices_are_marked(
    people: People, backend: Backend, still_clock: datetime, days: int, stale: bool
) -> None:
    day = still_clock.date() - timedelta(days=days)
    CatalogSource.objects.filter(kind="aws").update(priced_on=day)
    wish = asked_for(instance_types=["m5.large"])
    (listed,) = listing.connected(project=people.project, spec=wish, start=0, limit=5).items
    shown: dict[str, Any] = listing.listed_json(listed)
    assert (shown["is_stale"], shown["priced_at"]) == (stale, day)
    assert isinstance(shown["priced_at"], date) and shown["connected"] is True
