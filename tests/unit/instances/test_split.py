"""Whose a machine's time is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from apps.instances.costs.split import MICROSECOND, Share, Stay, split, usd

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = NOON.date()
A, B = uuid4(), uuid4()
SECOND = 1_000_000


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def stay(run_id: UUID, begin: float, end: float | None = None) -> Stay:
    return Stay(run_id, "hello", run_id, after(begin), None if end is None else after(end))


def test_a_machine_is_whose_workload_is_on_it() -> None:
    found = split([stay(A, -5)], begin=NOON, end=after(10), is_ours=True)

    assert found == {Share(DAY, A, "hello", A): 10 * SECOND}


def test_what_stands_idle_is_nobodys_and_names_the_run_that_left_it() -> None:
    found = split([stay(A, 0, 4), stay(B, 7)], begin=NOON, end=after(10), is_ours=True)

    assert found == {
        Share(DAY, A, "hello", A): 4 * SECOND,
        Share(DAY, A, "hello", idle=True): 3 * SECOND,
        Share(DAY, B, "hello", B): 3 * SECOND,
    }


def test_who_left_before_the_span_is_named_too() -> None:
    found = split([stay(A, -9, -5)], begin=NOON, end=after(1), is_ours=True)

    assert found == {Share(DAY, A, "hello", idle=True): SECOND}


def test_a_host_that_was_there_before_us_costs_nothing_while_it_is_idle() -> None:
    found = split([stay(A, 2, 5)], begin=NOON, end=after(10), is_ours=False)

    assert found == {Share(DAY, A, "hello", A): 3 * SECOND}


def test_several_on_one_host_share_its_price_in_equal_parts() -> None:
    found = split([stay(A, 0), stay(B, 0)], begin=NOON, end=NOON + 3 * MICROSECOND, is_ours=False)

    assert found == {Share(DAY, A, "hello", A): 2, Share(DAY, B, "hello", B): 1}


def test_a_day_ends_at_midnight_utc() -> None:
    late = NOON.replace(hour=23, minute=59, second=59)
    found = split([stay(A, 0)], begin=late, end=late + timedelta(seconds=3), is_ours=True)

    assert found == {
        Share(DAY, A, "hello", A): SECOND,
        Share(date(2030, 1, 2), A, "hello", A): 2 * SECOND,
    }


def test_dollars_are_the_price_times_the_hours() -> None:
    assert usd(Decimal("3.673") * 3_600_000_000) == Decimal("3.673")
    assert usd(Decimal("0.0036") * SECOND) == Decimal("0.000001")


spans = st.tuples(st.integers(-(10**12), 10**12), st.none() | st.integers(0, 10**12))


@given(st.lists(spans, max_size=6), st.integers(0, 3 * 10**11))
def test_the_parts_of_a_machine_of_ours_are_its_whole_time(
    drawn: list[tuple[int, int | None]], length: int
) -> None:
    stays = [
        Stay(
            uuid4(),
            "x",
            None,
            NOON + begin * MICROSECOND,
            None if lasts is None else NOON + (begin + lasts) * MICROSECOND,
        )
        for begin, lasts in drawn
    ]
    end = NOON + length * MICROSECOND

    assert split(stays, begin=NOON, end=end, is_ours=True).total() == length
    assert split(stays, begin=NOON, end=end, is_ours=False).total() <= length
