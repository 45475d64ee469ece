"""Histograms from samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.schema import LATENCY_BOUNDS_MS, LATENCY_BOUNDS_US
from gateway.traffic import checkpoint
from gateway.traffic.latency import Histogram, Sample, Times, coarse, parse


@pytest.mark.parametrize(
    ("times", "total_us", "first_us"),
    [
        # To the microsecond where HAProxy took them, else the middle of the millisecond.
        ("240 1 2 3 4 240831 10062", 240_831, 10_062),
        ("0 0 0 0 0 412 390", 412, 390),
        ("1 0 0 0 0 1997 0", 1997, 0),
        ("240 1 2 3 4", 240_500, 10_500),
        ("240 1 2 3 4 240831 -", 240_831, 10_500),
        ("240 1 2 3 4 - -", 240_500, 10_500),
        # A body that came slowly is no part of what was taken exactly.
        ("5000 0 0 0 4990 12000 11000", 5_000_500, 4_990_500),
        ("240 1 2 3 4 -7 -7", 240_500, 10_500),
        # A stream whose first piece came long after its headers.
        ("2400 1 2 3 4 2400831 1350200", 2_400_831, 1_350_200),
        # A clock that was set meanwhile.
        ("240 1 2 3 4 3600240831 3600010062", 240_500, 240_500),
    ],
)
def test_reads_a_sample(times: str, total_us: int, first_us: int) -> None:
    assert parse(f"e-hello 16 {times}") == Sample("e-hello", 16, total_us, first_us)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e-hello 1 0 0 -1 -1 -1",  # answered by HAProxy itself
        "e-hello 1 0 0 -1 -1 -1 120 -",
        "e-hello 1 -1 0 0 0 0 5 5",
        "e-hello 0 1 0 0 0 0",
        "e-hello 1 1 0 0 0",
        "e-hello 1 1 0 0 0 0 7",
        "e-hello 1 x 0 0 0 0",
        "e-hello 1 1 0 0 0 0 x 0",
        "Proxy services started.",
    ],
)
def test_passes_over_what_no_service_answered(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(0.05, 0), (1, 0), (1.01, 1), (2, 1), (3, 2), (60_000, 14), (60_001, 15), (9e6, 15)],
)
def test_puts_a_time_below_its_upper_bound(ms: float, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(round(ms * 1000), 16)
    (index,) = histogram.counts
    bounds = (0, *LATENCY_BOUNDS_US, 10**12)

    expected = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    expected[bucket] = 16
    assert coarse(histogram.counts) == expected
    assert bounds[index] < ms * 1000 <= bounds[index + 1]
    assert histogram.sum_us == round(ms * 1000) * 16


def test_says_it_to_servers_of_both_versions() -> None:
    times = Times()
    times.add(Sample("e-hello", 2, 20_000, 700))

    said = times.as_message("e-hello")

    assert (said.total, said.first_byte) == ([*[0] * 4, 2, *[0] * 11], [2, *[0] * 15])
    assert said.fine_total == {LATENCY_BOUNDS_US.index(20_000): 2}
    assert sum((said.fine_first_byte or {}).values()) == 2


def test_remembers_what_belongs_to_this_run_of_haproxy(tmp_path: Path) -> None:
    times = {"e-hello": Times()}
    times["e-hello"].add(Sample("e-hello", 1, 20_000, 3000))
    carried = {("e-hello", "k"): (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)}
    checkpoint.write(tmp_path, boot_id="b1", carried=carried, times=times)

    assert checkpoint.read(tmp_path, boot_id="b1") == (carried, times)
    assert checkpoint.read(tmp_path, boot_id="b2") == ({}, {})


BROKEN = (
    "",
    "{",
    '{"boot_id": 1}',
    '{"boot_id":"b","histograms":[["e"]]}',
    '{"boot_id":"b","histograms":[{"endpoint":"e","total_us":1,"total":{"999":1},'
    '"first_byte_us":1,"first_byte":{}}]}',
    # An earlier version's, with its own buckets.
    '{"boot_id":"b","times":[["e",20,[0,1],3,[1,0]]]}',
)


@pytest.mark.parametrize("text", BROKEN)
def test_begins_anew_where_the_file_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / checkpoint.FILE).write_text(text)

    assert checkpoint.read(tmp_path, boot_id="b") == ({}, {})
