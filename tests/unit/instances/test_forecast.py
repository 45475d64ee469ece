from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from apps.instances.costs.limits import Use
from apps.instances.costs.spend import Spend, Sum, forecast


@pytest.mark.parametrize(
    ("at", "spent", "per_hour", "usd"),
    [
        (datetime(2026, 11, 30, 23, tzinfo=UTC), "10", "2", "12"),
        (datetime(2026, 11, 1, tzinfo=UTC), "0", "1", "720"),
        (datetime(2026, 12, 1, tzinfo=UTC), "0", "1", "744"),
        (datetime(2027, 2, 28, 12, tzinfo=UTC), "5", "0.5", "11"),
        (datetime(2028, 2, 28, tzinfo=UTC), "0", "1", "48"),
        (datetime(2026, 12, 31, 23, 30, tzinfo=UTC), "1", "1", "1.5"),
        (datetime(2026, 11, 15, tzinfo=UTC), "7.25", "0", "7.25"),
    ],
)
def test_a_month_costs_what_it_did_and_what_runs_now_until_its_end(
    at: datetime, spent: str, per_hour: str, usd: str
) -> None:
    month = Spend(
        since=date(at.year, at.month, 1),
        items=[],
        use=Use(),
        billed_usd_per_hour=Decimal(per_hour),
        total=Sum(usd=Decimal(spent)),
    )

    assert forecast(month, at=at) == Decimal(usd)
