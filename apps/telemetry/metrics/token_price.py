"""What a million tokens of a model cost. Pure.

    price = sum over replicas(price per hour x hours within the window) / tokens x 1,000,000

A replica's price is the one of its offer, as the list of services adds it up; its hours begin when
it has its place on a machine that runs, and end when it is over. Tokens are those that the answers
said they used (`usage` of OpenAI's API), read and written alike, since the machine works for both.
Time in which a replica stood idle costs too, so a model that is asked little is dear: this is what
its tokens cost, not what they could cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

MILLION = 1_000_000
MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Stay:
    """A replica's time on its machine; `end` None where it is there still."""

    price_usd_per_hour: Decimal
    begin: datetime
    end: datetime | None = None


def cost_usd(stays: Iterable[Stay], *, since: datetime, until: datetime) -> Decimal:
    """Return what these replicas cost from `since` to `until`."""
    total = Decimal(0)
    for stay in stays:
        length = min(stay.end or until, until) - max(stay.begin, since)
        total += stay.price_usd_per_hour * max(length // MICROSECOND, 0)
    return total / MICROSECONDS_PER_HOUR


def usd_per_million(*, cost: Decimal, tokens: int) -> Decimal | None:
    """Return the price of a million tokens, None where none was served: then there is none."""
    return cost * MILLION / tokens if tokens > 0 else None
