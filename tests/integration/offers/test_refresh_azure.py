"""Prices of Azure from its public list: whole or not at all, and only where that is wanted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.backends.base import ErrorKind, ProviderError
from apps.offers.catalog import refresh, retail, tasks
from apps.offers.models import CatalogOffer, CatalogSource
from tests.fakes.azure_prices import PriceList, page_of, row, spot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loaded")]
REGION = "eastus"
A100 = "Standard_NC24ads_A100_v4"
Answer = tuple[int, dict[str, str], bytes]


def sizes(*, is_spot: bool = False) -> dict[str, Decimal]:
    found = CatalogOffer.objects.filter(kind="azure", region=REGION, spot=is_spot)
    return dict(found.values_list("instance_type", "usd_per_hour"))


@pytest.fixture
def whole(azure_list: PriceList, monkeypatch: pytest.MonkeyPatch) -> PriceList:
    """All that the snapshot has of the region, each on demand for $1 and as spot for 25 cents."""
    monkeypatch.setattr(tasks, "_failed_at", {})
    for name in sizes():
        azure_list.rows += [row(name, 1.0), spot(name, 0.25)]
    azure_list.rows.append(row("Standard_Nobody_knows", 0.01))
    azure_list.page = 100
    return azure_list


def test_the_lists_prices_take_the_place_of_the_snapshots(whole: PriceList) -> None:
    at, before = timezone.now(), sizes()

    assert retail.refresh(REGION, spot=False, at=at) == len(before) > 200

    assert sizes() == dict.fromkeys(before, Decimal(1))
    a100 = CatalogOffer.objects.select_related("source").get(
        kind="azure", region=REGION, instance_type=A100
    )
    assert (a100.gpu_name, a100.gpu_memory_mib, a100.cpus) == ("A100", 81920, 24)
    assert (a100.source.words, a100.source.priced_on) == ("Azure's own price list", at.date())
    assert len(whole.asked) == 5


def test_spot_comes_beside_it(whole: PriceList) -> None:
    before = sizes()

    retail.refresh(REGION, spot=True, at=timezone.now())

    assert sizes() == before
    assert sizes(is_spot=True) == dict.fromkeys(before, Decimal("0.25"))


GOOD = page_of([row(A100, 3.6)], None)
LATER = "https://prices.azure.invalid/api/retail/prices?$skip={}"


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        pytest.param([(404, {}, b"no")], ErrorKind.UNREACHABLE, id="refused"),
        pytest.param([(429, {"Retry-After": "0"}, b"")] * 4, ErrorKind.THROTTLED, id="throttled"),
        pytest.param([(503, {"Retry-After": "0"}, b"")] * 4, ErrorKind.UNREACHABLE, id="broken"),
        pytest.param([(429, {"Retry-After": "9999"}, b"")] * 4, ErrorKind.THROTTLED, id="hours"),
        pytest.param(
            [(302, {"Location": "http://x.invalid"}, b"")], ErrorKind.UNREACHABLE, id="go"
        ),
        pytest.param([(200, {}, b"{")], ErrorKind.UNREACHABLE, id="no JSON"),
        pytest.param([(200, {}, b"[" * 99_999)], ErrorKind.UNREACHABLE, id="deep"),
        pytest.param([(200, {}, b"[]")], ErrorKind.UNREACHABLE, id="a list"),
        pytest.param([(200, {}, b'{"Items": [1]}')], ErrorKind.UNREACHABLE, id="no rows"),
        pytest.param([(200, {}, page_of([], None))], ErrorKind.UNREACHABLE, id="empty"),
        pytest.param([(200, {}, GOOD)], ErrorKind.UNREACHABLE, id="a part"),
        pytest.param(
            [(200, {}, page_of([], None, BillingCurrency="EUR"))], ErrorKind.UNREACHABLE, id="EUR"
        ),
        pytest.param(
            [(200, {}, page_of([], LATER.format(7)))] * 2, ErrorKind.UNREACHABLE, id="a circle"
        ),
        pytest.param(
            [(200, {}, page_of([], LATER.format("x")))], ErrorKind.UNREACHABLE, id="lost its way"
        ),
        pytest.param(
            [(200, {}, page_of([], LATER.format(7))), (500, {"Retry-After": "0"}, b"")]
            + [(500, {"Retry-After": "0"}, b"")] * 3,
            ErrorKind.UNREACHABLE,
            id="ends in the middle",
        ),
        pytest.param(
            [(200, {}, page_of([], LATER.format(n))) for n in range(1, 70)],
            ErrorKind.UNREACHABLE,
            id="without an end",
        ),
    ],
)
def test_a_list_that_is_not_whole_leaves_what_there_was(
    whole: PriceList, monkeypatch: pytest.MonkeyPatch, answers: list[Answer], kind: ErrorKind
) -> None:
    before, sources = sizes(), CatalogSource.objects.count()
    whole.answers = list(answers)
    if "9999" in str(answers):
        monkeypatch.setattr("apps.backends.providers.azure.retail.ALL_SECONDS", 2.0)

    with pytest.raises(ProviderError) as refused:
        retail.refresh(REGION, spot=False, at=timezone.now())

    assert refused.value.kind is kind
    assert (sizes(), CatalogSource.objects.count()) == (before, sources)


def test_one_that_is_busy_for_a_moment_is_asked_again(whole: PriceList) -> None:
    whole.answers = [(429, {"Retry-After": "0"}, b"")] * 3

    assert retail.refresh(REGION, spot=False, at=timezone.now()) > 200


@pytest.mark.parametrize("region", ["", "East US", "x' or 1 eq 1 or 'x", "../", "é" * 9, "a" * 999])
def test_no_text_of_a_region_is_more_than_a_region(azure_list: PriceList, region: str) -> None:
    with pytest.raises(ProviderError):
        retail.refresh(region, spot=False, at=timezone.now())

    assert azure_list.asked == []


def test_nobody_is_asked_where_no_administrator_wants_it(whole: PriceList) -> None:
    assert tasks.refresh_oldest(at=timezone.now()) is None
    assert whole.asked == []


def test_beat_goes_on_where_it_stopped(whole: PriceList, settings: Any) -> None:
    settings.DSTACK_AZURE_PRICES = True
    CatalogOffer.objects.filter(kind="azure").exclude(region=REGION).delete()
    at = timezone.now()

    done = [tasks.refresh_oldest(at=at) for _ in range(3)]

    assert done == [("azure", REGION, False), ("azure", REGION, True), None]
    assert tasks.refresh_oldest(at=at + refresh.EVERY - timedelta(minutes=1)) is None
    assert tasks.refresh_oldest(at=at + refresh.EVERY) == ("azure", REGION, False)
