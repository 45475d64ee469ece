"""Which rows of Azure's price list are prices of machines, one case for each kind of row."""

from __future__ import annotations

from typing import Any

import pytest

from apps.backends.providers.azure import prices
from tests.fakes.azure_prices import row, spot

SIZE, NOW = "Standard_D2s_v5", "2026-11-30"


def read(*rows: dict[str, Any], is_spot: bool = False) -> dict[str, float]:
    return prices.by_size(rows, "eastus", spot=is_spot, now=NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"productName": "Virtual Machines Dsv5 Series Windows"},
        {"productName": "Dsv5 Series CloudServices"},
        {"skuName": "D2s v5 Low Priority"},
        {"meterName": "D2s v5 Expired"},
        {"productName": "Dsv3 Type1 Dedicated Host"},
        {"armRegionName": "EastUS"},
        {"currencyCode": "EUR"},
        {"type": "Reservation"},
        {"unitOfMeasure": "1/Month"},
        {"tierMinimumUnits": 100.0},
        {"armSkuName": ""},
        {"armSkuName": None},
        {"effectiveStartDate": "2026-12-01T00:00:00Z"},
        {"retailPrice": 0.0},
        {"retailPrice": -1},
        {"retailPrice": "0.096"},
        {"retailPrice": None},
        {"retailPrice": True},
        {"retailPrice": float("nan")},
        {"retailPrice": 1e9},
    ],
)
def test_a_row_of_something_else_is_left_out(changes: dict[str, Any]) -> None:
    assert read(row(SIZE, 0.096, **changes)) == {}


def test_spot_and_on_demand_are_told_apart() -> None:
    both = (row(SIZE, 0.096), spot(SIZE, 0.019))

    assert read(*both) == {SIZE: 0.096}
    assert read(*both, is_spot=True) == {SIZE: 0.019}


@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_price_that_has_begun_counts(order: int) -> None:
    days = {"2024-01-01": 0.1, "2026-11-30": 0.2, "2026-12-24": 0.3}
    rows = [row(SIZE, usd, effectiveStartDate=f"{day}T00:00:00Z") for day, usd in days.items()]

    assert read(*rows[::order]) == {SIZE: 0.2}


def test_one_that_is_told_in_two_ways_is_left_out_and_one_told_twice_is_not() -> None:
    other = "Standard_D4s_v5"

    found = read(row(SIZE, 0.1), row(SIZE, 0.2), row(other, 0.4), row(other, 0.4))

    assert found == {other: 0.4}
