from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.cli.render.words import age, length, price, size, span

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0"),
        (0.0, "$0"),
        (1.595, "$1.595"),
        (49.159, "$49.159"),
        (2, "$2"),
        ("1.5000", "$1.5"),
        (0.00004, "$0"),
        (None, "-"),
        (98.32, "$98.32"),
    ],
)
def test_writes_a_price(amount: float | str | None, text: str) -> None:
    assert price(amount) == text


@pytest.mark.parametrize(
    ("amount_bytes", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KB"),
        (512 * 2**20, "512.0 MB"),
        (3 * 2**30, "3.0 GB"),
    ],
)
def test_writes_a_size(amount_bytes: int, text: str) -> None:
    assert size(amount_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-60, "now"),
        (4, "now"),
        (5, "5 secs ago"),
        (60, "1 min ago"),
        (3599, "59 mins ago"),
        (3600, "1 hour ago"),
        (86400, "1 day ago"),
        (6 * 86400, "6 days ago"),
        (14 * 86400, "2 weeks ago"),
    ],
)
def test_writes_how_long_ago_something_was(seconds: int, text: str) -> None:
    assert span(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2029-12-31T23:54:00Z", "6 mins ago"),
        ("2029-12-31T23:54:00+00:00", "6 mins ago"),
        ("2029-12-31T23:54:00", "-"),
        ("yesterday", "-"),
        ("", "-"),
        (None, "-"),
    ],
)
def test_reads_times_of_the_api(at: str | None, text: str) -> None:
    assert age(at, now=NOW) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0 s"), (40.9, "40 s"), (60, "1 m 0 s"), (125, "2 m 5 s"), (3780, "1 h 3 m")],
)
def test_writes_a_length_of_time(seconds: float, text: str) -> None:
    assert length(timedelta(seconds=seconds)) == text
