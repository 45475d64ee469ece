"""Rows of Azure's price list, read. Pure.

What cannot be read, or is told in two ways, is left out: a price that is missing hides an offer, a
wrong one costs money.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# Other goods under the same service: licences, hosts of one's own, what Azure sells no more.
NOT_OURS = ("windows", "cloudservices", "cloud services", "dedicated host")
OTHER_SALES = ("low priority", "expired")
DEAREST = 100_000


def by_size(
    rows: Iterable[Mapping[str, Any]], region: str, *, spot: bool, now: str
) -> dict[str, float]:
    """Return sizes by ARM's name with what an hour of them on Linux costs in USD.

    `now` is an ISO date: of prices that begin at several, the latest that has begun counts.
    """
    latest: dict[str, tuple[str, set[float]]] = {}
    for row in rows:
        size, since, usd = _read(row, region, spot=spot)
        if usd is None or since[: len(now)] > now:
            continue
        known_since, prices = latest.get(size, ("", set()))
        if since > known_since:
            latest[size] = (since, {usd})
        elif since == known_since:
            prices.add(usd)
    return {size: min(prices) for size, (_, prices) in latest.items() if len(prices) == 1}


def _read(row: Mapping[str, Any], region: str, *, spot: bool) -> tuple[str, str, float | None]:
    """Return size, first day and price; no price for a row of something else."""
    words = {name: str(row.get(name) or "") for name in ("armSkuName", "productName", "skuName")}
    size, since = words["armSkuName"], str(row.get("effectiveStartDate") or "")
    named = f"{words['skuName']} {row.get('meterName') or ''}".lower()
    is_ours = (
        size.startswith("Standard_")
        and row.get("armRegionName") == region
        and row.get("currencyCode") == "USD"
        and row.get("type") == "Consumption"
        and row.get("unitOfMeasure") == "1 Hour"
        and not row.get("tierMinimumUnits")
        and not any(word in words["productName"].lower() for word in NOT_OURS)
        and not any(word in named for word in OTHER_SALES)
        and ("spot" in named.split()) is spot
    )
    return size, since, _usd(row.get("retailPrice")) if is_ours else None


def _usd(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < DEAREST else None
