from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agent.wire import LogLine
from apps.telemetry.logs.lines import MAX_LINE_BYTES, Packed, pack

AT = datetime(2030, 1, 1, tzinfo=UTC)


def line(seq: int, text: str = "x", at: str = "2030-01-01T00:00:00Z") -> LogLine:
    return LogLine(seq, at, text)


def packed(lines: list[LogLine], *, next_seq: int = 0) -> Packed:
    found = pack(lines, next_seq=next_seq, at=AT)
    assert found is not None
    return found


def test_joins_lines_with_their_times() -> None:
    found = packed([line(0, "a"), line(1, "b", "2030-01-01T00:00:01.5+00:00")])

    assert (found.text, found.offsets_ms) == ("a\nb", [0, 1500])
    assert (found.first_seq, found.next_seq) == (0, 2)
    assert (found.first_at, found.last_at) == (AT, AT + timedelta(seconds=1.5))


def test_keeps_empty_lines() -> None:
    assert packed([line(0, ""), line(1, "")]).text == "\n"


def test_leaves_out_what_came_before() -> None:
    found = packed([line(3, "old"), line(4, "old"), line(5, "new")], next_seq=5)

    assert (found.text, found.first_seq, found.next_seq) == ("new", 5, 6)


def test_finds_nothing_in_lines_that_all_came_before() -> None:
    assert pack([line(0), line(1)], next_seq=2, at=AT) is None
    assert pack([], next_seq=0, at=AT) is None


def test_puts_lines_in_order_and_keeps_each_once() -> None:
    found = packed([line(2, "c"), line(0, "a"), line(1, "b"), line(1, "b")])

    assert found.text == "a\nb\nc"


def test_tells_a_gap_in_its_place() -> None:
    found = packed([line(5, "f"), line(7, "h")], next_seq=4)

    assert found.text.split("\n") == [
        "[dstack: 1 line lost on the way]",
        "f",
        "[dstack: 1 line lost on the way]",
        "h",
    ]
    assert len(found.offsets_ms) == 4


@pytest.mark.parametrize("seq", [-1, 2**62, 2**80])
def test_ignores_numbers_that_cannot_be(seq: int) -> None:
    assert pack([line(seq)], next_seq=0, at=AT) is None


CLEANED = {
    "NUL": ("a\0b", "a\ufffdb"),
    "newline": ("a\nb", "a\rb"),
    "half a pair": ("a\ud800b", "a?b"),
    "unicode": ("grüß 🎉", "grüß 🎉"),
    "long": ("x" * 2 * MAX_LINE_BYTES, "x" * MAX_LINE_BYTES),
    "long in bytes": ("ü" * MAX_LINE_BYTES, "ü" * (MAX_LINE_BYTES // 2)),
    "control characters": ("\x1b[31mred\x7f", "\x1b[31mred\x7f"),
}


@pytest.mark.parametrize(("text", "kept"), CLEANED.values(), ids=CLEANED)
def test_keeps_of_a_text_what_can_be_stored(text: str, kept: str) -> None:
    assert packed([line(0, text)]).text == kept


@pytest.mark.parametrize(
    "when",
    ["", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2031-01-01"],
)
def test_takes_the_time_of_arrival_for_a_time_that_cannot_be(when: str) -> None:
    assert packed([line(0, "x", when)]).first_at == AT


def test_takes_a_time_without_offset_as_utc() -> None:
    assert packed([line(0, "x", "2029-12-31T23:00:00")]).first_at == AT - timedelta(hours=1)


@given(st.lists(st.text(max_size=20), min_size=1), st.integers(0, 5))
def test_packs_any_text_into_as_many_lines(texts: list[str], known: int) -> None:
    lines = [line(seq, text) for seq, text in enumerate(texts)]

    found = pack(lines, next_seq=known, at=AT)

    kept = len(found.text.split("\n")) if found else 0
    assert kept == max(len(texts) - known, 0)
    assert kept == (len(found.offsets_ms) if found else 0)
    assert not found or found.size_bytes == len(found.text.encode()) + 1
