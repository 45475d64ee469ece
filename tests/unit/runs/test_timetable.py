from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs import schedule
from apps.runs.schedule import Timetable
from apps.specs.fields.cron import read_cron

# A Monday.
MONDAY = datetime(2030, 1, 7, tzinfo=UTC)
SUBMITTED = MONDAY - timedelta(days=30)
OFFICE = Timetable(["0 8 * * mon-fri"], ["0 18 * * mon-fri"], "UTC", SUBMITTED)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("when", "is_on", "changes"),
    [
        ("2030-01-07T07:59:59", False, "2030-01-07T08:00:00"),
        ("2030-01-07T08:00:00", True, "2030-01-07T18:00:00"),
        ("2030-01-07T12:34:56.789", True, "2030-01-07T18:00:00"),
        ("2030-01-07T18:00:00", False, "2030-01-08T08:00:00"),
        ("2030-01-11T18:00:00.000001", False, "2030-01-14T08:00:00"),
        ("2030-01-13T12:00:00", False, "2030-01-14T08:00:00"),
    ],
)
def test_runs_between_start_and_stop(when: str, is_on: bool, changes: str) -> None:
    assert OFFICE.is_on(at(when)) == is_on
    assert OFFICE.changes_at(at(when)) == at(changes)


def test_hours_are_those_of_its_zone() -> None:
    berlin = Timetable(["0 8 * * *"], ["0 18 * * *"], "Europe/Berlin", SUBMITTED)

    for day in ("2030-01-07", "2030-07-07"):  # winter and summer
        assert not berlin.is_on(at(f"{day}T07:59", "Europe/Berlin"))
        assert berlin.is_on(at(f"{day}T08:00", "Europe/Berlin"))
        assert berlin.changes_at(at(f"{day}T09:00", "Europe/Berlin")) == at(
            f"{day}T18:00", "Europe/Berlin"
        )


def test_without_a_stop_it_waits_for_its_first_start_and_stays() -> None:
    table = Timetable(["0 8 * * mon"], (), "UTC", MONDAY + timedelta(hours=9))

    assert not table.is_on(MONDAY + timedelta(days=3))
    assert table.changes_at(MONDAY + timedelta(days=3)) == MONDAY + timedelta(days=7, hours=8)
    assert table.is_on(MONDAY + timedelta(days=7, hours=8))
    assert table.changes_at(MONDAY + timedelta(days=8)) is None


def test_the_earliest_of_several_expressions_counts() -> None:
    table = Timetable(["0 8 * * *", "0 20 * * *"], ["0 9 * * *", "0 21 * * *"], "UTC", SUBMITTED)

    on = [hour for hour in range(24) if table.is_on(MONDAY + timedelta(hours=hour))]

    assert on == [8, 20]


def test_a_start_at_the_minute_of_a_stop_wins() -> None:
    table = Timetable(["0 * * * *"], ["0 * * * *"], "UTC", SUBMITTED)

    assert table.is_on(MONDAY)


def test_a_day_that_never_comes_starts_nothing() -> None:
    table = Timetable(["0 0 30 2 *"], ["0 0 * * *"], "UTC", SUBMITTED)

    assert not table.is_on(MONDAY)
    assert table.changes_at(MONDAY) is None
    assert schedule.words(table, at=MONDAY) == "off: its schedule names no time to come"


def test_says_until_when_in_the_time_of_its_zone() -> None:
    berlin = Timetable(["0 8 * * *"], ["0 18 * * *"], "Europe/Berlin", SUBMITTED)

    off = schedule.words(berlin, at=at("2030-01-07T06:00", "Europe/Berlin"))
    on = schedule.words(berlin, at=at("2030-01-07T09:00", "Europe/Berlin"))

    assert off == "off until Mon 07 Jan 08:00 (Europe/Berlin)"
    assert on == "on until Mon 07 Jan 18:00 (Europe/Berlin)"
    assert schedule.words(None, at=MONDAY) == ""


def field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    item = st.one_of(st.just("*"), number.map(str), span)
    step = st.tuples(item, st.integers(1, max(most, 1))).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(st.one_of(item, step), min_size=1, max_size=3).map(",".join)


CRON = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join)


@given(cron=CRON, stop=CRON, minutes=st.integers(0, 10**6))
def test_every_accepted_expression_comes_and_changes_it_where_it_says(
    cron: str, stop: str, minutes: int
) -> None:
    table = Timetable(read_cron(cron), read_cron(stop), "UTC", SUBMITTED)
    now = MONDAY + timedelta(minutes=minutes)

    change = table.changes_at(now)

    assert change is not None
    assert change > now
    # Nothing happens before that.
    assert table.is_on(change - timedelta(seconds=1)) == table.is_on(now)
