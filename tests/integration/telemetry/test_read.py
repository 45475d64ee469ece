from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.core.errors import Invalid
from apps.runs.models import Run
from apps.telemetry.logs import queries
from apps.telemetry.logs.queries import Filter
from tests.printing import Printer, printer


@pytest.fixture
def printed(replica: Printer) -> Run:
    """Ten lines in four chunks."""
    for first in range(0, 10, 3):
        replica.send(*[f"line {seq}" for seq in range(first, min(first + 3, 10))], first=first)
    return replica.run


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 100])
def test_reads_on_from_any_line(printed: Run, size: int) -> None:
    whole = queries.read(run=printed)
    resumed = [queries.read(run=printed, cursor=line.cursor, limit=size) for line in whole]

    assert [line.text for line in whole] == [f"line {seq}" for seq in range(10)]
    assert resumed == [whole[i + 1 : i + 1 + size] for i in range(10)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 100])
def test_scans_page_by_page_without_a_line_twice_or_missing(printed: Run, size: int) -> None:
    found: list[str] = []
    page = queries.scan(run=printed, cursor=None, limit=size)
    while not page.complete:
        found += [line.text for line in page.lines]
        page = queries.scan(run=printed, cursor=page.cursor, limit=size)
    found += [line.text for line in page.lines]

    assert found == [f"line {seq}" for seq in range(10)]


def test_goes_on_with_what_came_after_the_end(printed: Run, replica: Printer) -> None:
    end = queries.scan(run=printed, cursor=None).cursor
    replica.send("new", first=10)

    page = queries.scan(run=printed, cursor=end)

    assert [line.text for line in page.lines] == ["new"]


@pytest.mark.parametrize("grep", ["LINE 7", "ine 7"])
def test_finds_a_text_whatever_its_case(printed: Run, grep: str) -> None:
    assert [line.text for line in queries.read(run=printed, grep=grep)] == ["line 7"]


@pytest.mark.parametrize(
    "grep", ["%", "_", "l.ne", "\\", "'; DROP TABLE x; --", "\0", "\ud800", "🎉"]
)
def test_takes_what_is_searched_for_literally(printed: Run, replica: Printer, grep: str) -> None:
    assert queries.read(run=printed, grep=grep) == []


def test_finds_what_is_not_ascii(replica: Printer) -> None:
    replica.send("Grüße 🎉", "grüße")

    assert [line.text for line in queries.read(run=replica.run, grep="GRüßE 🎉")] == ["Grüße 🎉"]


def test_moves_on_past_what_does_not_match(printed: Run) -> None:
    page = queries.scan(run=printed, cursor=None, wanted=Filter(grep="nothing like it"))

    assert (page.lines, page.complete) == ([], True)
    assert queries.scan(run=printed, cursor=page.cursor).lines == []


def test_reads_one_replica(run: Run) -> None:
    printer(run, num=0).send("zero")
    printer(run, num=1).send("one")

    assert [line.text for line in queries.read(run=run, replica=1)] == ["one"]


def test_reads_lines_since_a_time(replica: Printer) -> None:
    now = datetime.now(UTC)
    replica.send("old", at=now - timedelta(hours=2))
    replica.send("new", first=1, at=now)

    found = queries.read(run=replica.run, since=now - timedelta(hours=1))

    assert [line.text for line in found] == ["new"]


@pytest.mark.parametrize("limit", [0, 1, 4, 10, 20])
def test_reads_the_newest_lines(printed: Run, limit: int) -> None:
    whole = queries.read(run=printed)

    assert queries.tail(run=printed, limit=limit) == (whole[-limit:] if limit else [])


def test_keeps_the_time_of_each_line_to_the_millisecond(replica: Printer) -> None:
    at = datetime.now(UTC).replace(microsecond=123000)
    replica.send("x", at=at)

    assert queries.read(run=replica.run)[0].time == at


@pytest.mark.parametrize(
    "cursor", ["", "x", "1", "1-", "-1", "1-x", "9" * 30 + "-1", "١-١", "1-1\n"]
)
def test_refuses_what_is_no_cursor(printed: Run, cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor"):
        queries.read(run=printed, cursor=cursor)


AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
SINCE = {
    None: None,
    "": None,
    "10m": AT - timedelta(minutes=10),
    "90": AT - timedelta(seconds=90),
    "2030-01-01T00:00:00Z": AT - timedelta(hours=12),
    "2030-01-01T00:00:00": AT - timedelta(hours=12),
}


@pytest.mark.parametrize(("text", "time"), SINCE.items())
def test_reads_since_when(text: str | None, time: datetime | None) -> None:
    assert queries.since(text, at=AT) == time


@pytest.mark.parametrize("text", ["soon", "-5m", "1y", "9" * 50, "\0"])
def test_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(Invalid, match="since"):
        queries.since(text, at=AT)


@pytest.mark.parametrize("count", range(12))
def test_finds_where_the_newest_lines_begin(printed: Run, count: int) -> None:
    cursor = queries.begin_of_tail(run=printed, wanted=Filter(), count=count)

    found = queries.read(run=printed, cursor=cursor)

    assert [line.text for line in found] == [f"line {n}" for n in range(max(10 - count, 0), 10)]
