"""Blocked offers as rows: one for the same, read by backend, gone when they are over."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.backends.base import ErrorKind, Hardware, Offer, ProviderError, Scope
from apps.backends.models import Backend
from apps.backends.registry import PROVIDERS
from apps.offers import blocked
from apps.offers.models import BlockedOffer
from dstack_web import tasks
from tests import factories
from tests.fakes.cloud import Cloud
from tests.people import People

pytestmark = pytest.mark.django_db
BIG = Offer("cloud", "north", "big", Hardware(8, 32768, 102400), 1.0)
FULL = ProviderError("no machine is free", kind=ErrorKind.CAPACITY)
NO_QUOTA = ProviderError("none left", kind=ErrorKind.QUOTA, scope=Scope.FAMILY_REGION)
BROKEN = ProviderError("the key was revoked", kind=ErrorKind.CREDENTIALS)
AWAY = ProviderError("timed out", kind=ErrorKind.UNREACHABLE)
OUT = ProviderError("timed out", kind=ErrorKind.UNREACHABLE, scope=Scope.REGION)


@pytest.fixture
def cloud(people: People, monkeypatch: pytest.MonkeyPatch) -> Backend:
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    return factories.backend(people.project, kind=Cloud.kind)


def test_the_same_again_is_one_row_that_lasts_longer(cloud: Backend) -> None:
    at = timezone.now()
    blocked.block(backend=cloud, offer=BIG, error=FULL, at=at)
    blocked.block(backend=cloud, offer=BIG, error=None, reason="it went", at=at + timedelta(60))

    row = BlockedOffer.objects.get()
    assert (row.region, row.instance_type, row.spot) == ("north", "big", False)
    assert (row.reason, row.until) == ("it went", at + timedelta(60, minutes=3))


def test_a_backend_is_one_row_though_much_of_it_is_null(cloud: Backend) -> None:
    for _ in range(2):
        blocked.block(backend=cloud, offer=BIG, error=BROKEN, at=timezone.now())
    row = BlockedOffer.objects.get()
    assert (row.scope, row.region, row.instance_type, row.spot) == ("backend", "", "", None)
    assert (row.kind, row.reason) == ("credentials", "the key was revoked")


def test_nothing_is_blocked_by_what_passes_nor_of_what_stands(cloud: Backend) -> None:
    local = factories.backend(cloud.project, kind="local")
    blocked.block(backend=cloud, offer=BIG, error=AWAY, at=timezone.now())
    blocked.block(backend=local, offer=BIG, error=FULL, at=timezone.now())
    assert not BlockedOffer.objects.exists()


@pytest.mark.parametrize("reason", ["", "\0x\0", "'; drop table--", "é" * 5000, "a\n\nb\tc"])
def test_whatever_a_cloud_says_is_kept_in_one_line(cloud: Backend, reason: str) -> None:
    blocked.block(backend=cloud, offer=BIG, error=FULL, reason=reason, at=timezone.now())
    kept = BlockedOffer.objects.get().reason
    assert len(kept) <= 500 and "\n" not in kept and "\0" not in kept
    assert kept or not reason


def test_each_backend_has_its_own(cloud: Backend) -> None:
    at = timezone.now()
    other = factories.backend(factories.project(), kind="cloud")
    blocked.block(backend=cloud, offer=BIG, error=NO_QUOTA, at=at)
    blocked.block(backend=other, offer=BIG, error=FULL, at=at)

    found = blocked.of([cloud, other], at=at)
    assert [each.subject.family for each in found[cloud.pk]] == ["big"]
    assert [each.subject.instance_type for each in found[other.pk]] == ["big"]
    assert blocked.of([cloud], at=at + timedelta(hours=2)) == {cloud.pk: []}


def test_a_quota_is_asked_again_when_a_machine_of_ours_has_ended(cloud: Backend) -> None:
    at = timezone.now()
    blocked.block(backend=cloud, offer=BIG, error=NO_QUOTA, at=at)
    blocked.block(backend=cloud, offer=BIG, error=FULL, at=at)
    blocked.lift_quotas(backend=cloud, region="south")
    assert BlockedOffer.objects.count() == 2
    blocked.lift_quotas(backend=cloud, region="north")
    assert [row.kind for row in BlockedOffer.objects.all()] == ["capacity"]


def test_what_is_over_is_forgotten_by_beat(cloud: Backend) -> None:
    at = timezone.now()
    blocked.block(backend=cloud, offer=BIG, error=FULL, at=at - timedelta(hours=1))
    blocked.block(backend=cloud, offer=BIG, error=NO_QUOTA, at=at)
    tasks.prune_history()
    assert [row.kind for row in BlockedOffer.objects.all()] == ["quota"]


@pytest.mark.parametrize(
    ("minutes", "region", "is_out"),
    # The second region of a cloud that is away takes as long as the first one to be given up.
    [(0, "south", True), (6, "south", True), (9, "south", False), (0, "north", False)],
)
def test_a_region_tells_of_others_for_longer_than_it_is_blocked(
    cloud: Backend, minutes: int, region: str, is_out: bool
) -> None:
    at = timezone.now()
    blocked.block(backend=cloud, offer=BIG, error=OUT, at=at - timedelta(minutes=minutes))
    tasks.prune_history()

    assert blocked.is_out_elsewhere(cloud, region, at=at) is is_out
    assert bool(blocked.of([cloud], calls_server=False, at=at)[cloud.pk]) is (minutes < 3)


@pytest.fixture
def committed(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    monkeypatch.setitem(PROVIDERS, Cloud.kind, Cloud)
    yield factories.backend(factories.project(), kind=Cloud.kind)


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_one_row(committed: Backend) -> None:
    def refuse(number: int) -> None:
        try:
            blocked.block(backend=committed, offer=BIG, error=FULL, at=timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(refuse, range(40)))
    assert BlockedOffer.objects.count() == 1
