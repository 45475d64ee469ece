"""Whose a machine's time was: a span of it, split among those who had it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Stay:
    """A workload's time on a machine; `end` None where it is there still. `owner_id` is the replica
    that it is of."""

    run_id: UUID
    run_name: str
    owner_id: UUID | None
    begin: datetime
    end: datetime | None = None


@dataclass(frozen=True)
class Share:
    """Who had a machine on a day. With `idle` nobody did, and the run is the one that was there
    last."""

    day: date
    run_id: UUID | None = None
    run_name: str = ""
    owner_id: UUID | None = None
    idle: bool = False


def split(
    stays: Sequence[Stay], *, begin: datetime, end: datetime, is_ours: bool
) -> Counter[Share]:
    """Return how many microseconds between `begin` and `end` each had; `is_ours` is a machine that
    we made, whose idle time costs too.

    The parts of a machine that we made add up to the whole span, to the microsecond.
    """
    found: Counter[Share] = Counter()
    for first, last in _moments(stays, begin, end):
        there = [
            each for each in stays if each.begin <= first and (not each.end or each.end > first)
        ]
        length = (last - first) // MICROSECOND
        day = first.astimezone(UTC).date()
        if there:
            for number, stay in enumerate(there):
                part = length // len(there) + (number < length % len(there))
                found[Share(day, stay.run_id, stay.run_name, stay.owner_id)] += part
        elif is_ours:
            found[_idle(stays, first, day)] += length
    return found


def usd(amount: Decimal) -> Decimal:
    """Return dollars for a price per hour times microseconds."""
    return amount / MICROSECONDS_PER_HOUR


def _moments(
    stays: Sequence[Stay], begin: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The span in pieces within which nothing changes, not even the day."""
    marks = {begin, end}
    for stay in stays:
        marks |= {stay.begin, stay.end or end}
    midnight = datetime.combine(begin.astimezone(UTC), time(), UTC)
    while (midnight := midnight + timedelta(days=1)) < end:
        marks.add(midnight)
    within = sorted(mark for mark in marks if begin <= mark <= end)
    return zip(within, within[1:], strict=False)


def _idle(stays: Sequence[Stay], at: datetime, day: date) -> Share:
    over = [(stay.end, stay) for stay in stays if stay.end is not None and stay.end <= at]
    if not over:
        return Share(day, idle=True)
    _, last = max(over, key=lambda pair: pair[0])
    return Share(day, last.run_id, last.run_name, idle=True)
