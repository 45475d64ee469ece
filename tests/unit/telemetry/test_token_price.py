"""What a million tokens cost, by the hours of replicas and what was served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from apps.telemetry.metrics.token_price import Stay, cost_usd, usd_per_million

UNTIL = datetime(2030, 1, 1, 12, tzinfo=UTC)
SINCE = UNTIL - timedelta(hours=1)


def stay(price: str, begin: int, end: int | None) -> Stay:
    """A replica from and to so many minutes before the window's end."""
    ends = None if end is None else UNTIL - timedelta(minutes=end)
    return Stay(Decimal(price), UNTIL - timedelta(minutes=begin), ends)


@pytest.mark.parametrize(
    ("stays", "usd"),
    [
        ([], "0"),
        ([stay("2", 600, None)], "2"),
        ([stay("2", 30, None)], "1"),
        ([stay("2", 45, 15)], "1"),
        ([stay("2", 90, 30), stay("4", 30, None)], "3"),
        # Over before, or begun after: a clock may be ahead.
        ([stay("2", 120, 60), stay("2", -5, None)], "0"),
        ([stay("2", 90, -30)], "2"),
        ([stay("0", 60, None)], "0"),
    ],
)
def test_a_replica_costs_its_hours_within_the_window(stays: list[Stay], usd: str) -> None:
    assert cost_usd(stays, since=SINCE, until=UNTIL) == Decimal(usd)


@pytest.mark.parametrize(
    ("cost", "tokens", "price"),
    [("3", 1_500_000, "2"), ("1.5", 1000, "1500"), ("0", 10, "0"), ("3", 0, None), ("3", -1, None)],
)
def test_a_million_tokens_cost_what_the_replicas_did(
    cost: str, tokens: int, price: str | None
) -> None:
    found = usd_per_million(cost=Decimal(cost), tokens=tokens)

    assert found == (None if price is None else Decimal(price))
