"""Histograms from samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.schema import LATENCY_BOUNDS_MS
from gateway.traffic import memory
from gateway.traffic.latency import BUCKETS, Histogram, Sample, Times, parse


def test_reads_a_sample() -> None:
    assert parse("e-hello 16 240 1 2 3 4") == Sample("e-hello", 16, 240, 10)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e-hello 1 0 0 -1 -1 -1",  # answered by HAProxy itself
        "e-hello 1 -1 0 0 0 0",
        "e-hello 0 1 0 0 0 0",
        "e-hello 1 1 0 0 0",
        "e-hello 1 x 0 0 0 0",
        "Proxy services started.",
    ],
)
def test_passes_over_what_no_service_answered(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(0, 0), (1, 0), (2, 1), (3, 2), (60_000, BUCKETS - 2), (60_001, BUCKETS - 1)],
)
def test_puts_a_time_below_its_upper_bound(ms: int, bucket: int) -> None:
    histogram = Histogram()
    histogram.add(ms, 16)

    expected = [0] * (len(LATENCY_BOUNDS_MS) + 1)
    expected[bucket] = 16
    assert (histogram.buckets, histogram.sum_ms) == (expected, ms * 16)


def test_remembers_what_belongs_to_this_run_of_haproxy(tmp_path: Path) -> None:
    times = {"e-hello": Times()}
    times["e-hello"].add(Sample("e-hello", 1, 20, 3))
    carried = {("e-hello", "k"): (1, 2, 3, 4, 5, 6, 7, 8, 9)}
    memory.write(tmp_path, boot_id="b1", carried=carried, times=times)

    assert memory.read(tmp_path, boot_id="b1") == (carried, times)
    assert memory.read(tmp_path, boot_id="b2") == ({}, {})


@pytest.mark.parametrize("text", ["", "{", '{"boot_id": 1}', '{"boot_id":"b","times":[["e"]]}'])
def test_begins_anew_where_the_file_is_broken(tmp_path: Path, text: str) -> None:
    (tmp_path / memory.FILE).write_text(text)

    assert memory.read(tmp_path, boot_id="b") == ({}, {})
