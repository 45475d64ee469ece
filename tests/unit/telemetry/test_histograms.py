"""Percentiles as they are shown, against the true ones of the same times."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.telemetry.traffic import histograms
from gateway.schema import LATENCY_BOUNDS_MS, LATENCY_BOUNDS_US
from gateway.traffic import metrics
from gateway.traffic.latency import Histogram, coarse

SHARES = (0.5, 0.95, 0.99)
WITHIN = 0.1


def counted(times_ms: Iterable[float], weight: int = 1) -> Histogram:
    """As the gateway counts them."""
    histogram = Histogram()
    for ms in times_ms:
        histogram.add(round(ms * 1000), weight)
    return histogram


def true(times_ms: Sequence[float], share: float) -> float:
    """The least time that so many did not exceed."""
    return sorted(times_ms)[max(math.ceil(share * len(times_ms) - 1e-9), 1) - 1]


def shown(histogram: Histogram, share: float) -> float | None:
    return histograms.percentile(histogram.counts, share)


def prometheus(histogram: Histogram, share: float) -> float:
    """What `histogram_quantile` makes of the gateway's page, in ms."""
    rows = list(metrics.histograms([("", histogram)]))
    buckets = [
        (float(labels.split('le="')[1].rstrip('"')), count)
        for ending, labels, count in rows
        if ending == "_bucket"
    ]
    wanted = share * buckets[-1][1]
    place = next(n for n, (_, count) in enumerate(buckets[:-1]) if count >= wanted)
    lower, below = buckets[place - 1] if place else (0.0, 0)
    upper, count = buckets[place]
    return (lower + (upper - lower) * (wanted - below) / (count - below)) * 1000


def log_uniform(low: float, high: float, count: int) -> list[float]:
    chance = random.Random(7)
    return [low * (high / low) ** chance.random() for _ in range(count)]


CONSTANT = [
    (f"{count} x {ms:g} ms", [ms] * count)
    for ms in (1, 1.001, 1.4, 2, 2.9, 5, 7, 11, 84, 350, 999, 1e3, 2.5e3, 11e3, 29e3, 59e3, 6e5)
    for count in (1, 8)
]
SPREAD = [
    (f"log-uniform {low:g} to {high:g} ms", log_uniform(low, high, 5000))
    for low, high in itertools.pairwise((1, 4, 20, 300, 4e3, 6e4, 6e5))
]
MIXED = [
    ("bimodal 90 and 10", [12.0] * 900 + [11e3] * 100),
    ("bimodal 96 and 4", [3.0] * 960 + [42e3] * 40),
    ("bimodal, even", [7.0] * 51 + [600.0] * 49),
    ("three", [1.0, 40.0, 5e3]),
    ("an hour of streams", log_uniform(1.2e6, 3.6e6, 100)),
    ("uniform", [float(ms) for ms in range(1, 2000)]),
    ("normal", [abs(random.Random(3).gauss(250, 40)) + 1 for _ in range(50)]),
    ("all of it", log_uniform(1, 6e5, 20_000)),
]
CASES = [*CONSTANT, *SPREAD, *MIXED]


@pytest.mark.parametrize(("times", "share"), list(itertools.product(CASES, SHARES)), ids=str)
def test_is_near_the_truth(times: tuple[str, list[float]], share: float) -> None:
    _, times_ms = times

    assert shown(counted(times_ms), share) == pytest.approx(true(times_ms, share), rel=WITHIN)


@pytest.mark.parametrize(("times", "share"), list(itertools.product(CASES, SHARES)), ids=str)
def test_prometheus_is_near_the_truth(times: tuple[str, list[float]], share: float) -> None:
    _, times_ms = times

    found = prometheus(counted(times_ms), share)

    assert found == pytest.approx(true(times_ms, share), rel=WITHIN)


@given(
    st.lists(st.floats(1, 600_000), min_size=1, max_size=200),
    st.integers(1, 16),
    st.floats(0.01, 1),
)
def test_any_times_of_any_weight(times_ms: list[float], weight: int, share: float) -> None:
    histogram = counted(times_ms, weight)
    truth = true([ms for ms in times_ms for _ in range(weight)], share)

    assert shown(histogram, share) == pytest.approx(truth, rel=WITHIN)
    assert prometheus(histogram, share) == pytest.approx(truth, rel=WITHIN)


@given(st.lists(st.lists(st.floats(1, 600_000), min_size=1, max_size=30), min_size=2, max_size=6))
def test_minutes_and_gateways_add_up(parts: list[list[float]]) -> None:
    kept = [histograms.pairs(counted(part).counts) for part in parts]
    together = [ms for part in parts for ms in part]

    found = histograms.percentile(histograms.whole(kept, []), 0.95)

    assert found == pytest.approx(true(together, 0.95), rel=WITHIN)


@pytest.mark.parametrize("nothing", [{}, {3: 0}])
def test_nothing_was_asked_is_no_time(nothing: Mapping[int, float]) -> None:
    assert [histograms.percentile(nothing, share) for share in SHARES] == [None] * 3


def test_bounds_lie_close_and_hold_the_coarse_ones() -> None:
    steps = [high / low for low, high in itertools.pairwise(LATENCY_BOUNDS_US)]

    assert max(steps) < 1.085
    assert {bound * 1000 for bound in LATENCY_BOUNDS_MS} <= set(LATENCY_BOUNDS_US)
    assert LATENCY_BOUNDS_US[-1] > 3_600_000_000


def test_what_lies_outside_is_the_nearest_that_is_known() -> None:
    assert shown(counted([0.02]), 0.5) == pytest.approx(0.07, rel=WITHIN)
    assert shown(counted([9e6]), 0.5) == pytest.approx(LATENCY_BOUNDS_US[-1] / 1000, rel=0.001)


@given(st.dictionaries(st.integers(0, len(LATENCY_BOUNDS_US)), st.integers(1, 1000)))
def test_is_kept_as_it_was(counts: dict[int, int]) -> None:
    assert histograms.counts_of(histograms.pairs(counts)) == counts
    assert sum(coarse(counts)) == sum(counts.values())


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        ([], [5, 2], [5, 2]),
        ([5, 2], [5, 2], []),
        ([5, 2], [3, 1, 5, 7], [3, 1, 5, 5]),
        # Begun again at zero.
        ([5, 2], [5, 1], [5, 1]),
        ([5, 2], [6, 1], [6, 1]),
    ],
)
def test_tells_what_came_since(before: list[int], now: list[int], more: list[int]) -> None:
    assert histograms.grown(before, now) == more


# What gateways of earlier versions said, by LATENCY_BOUNDS_MS.
@pytest.mark.parametrize(
    ("buckets", "share", "low", "high"),
    [
        ([10], 0.5, 0.05, 1),
        ([0, 0, 0, 10], 0.5, 5, 10),
        ([90, 0, 0, 0, 0, 0, 0, 10], 0.95, 100, 200),
        ([0] * 13 + [8], 0.5, 10_000, 30_000),
        ([0] * 14 + [8], 1.0, 55_000, 60_000),
        ([0] * 15 + [5], 0.5, 60_000, 65_000),
    ],
)
def test_reads_wider_buckets(buckets: list[int], share: float, low: float, high: float) -> None:
    found = histograms.percentile(histograms.whole([], [buckets]), share)

    assert found is not None
    assert low <= found <= high


def test_wider_buckets_keep_their_number() -> None:
    for place in range(len(LATENCY_BOUNDS_MS) + 1):
        assert sum(share for _, share in histograms.spread(place)) == pytest.approx(1)
    both = histograms.whole([[100, 3], None], [[0, 4], [0, 0, 0, 2], []])
    assert sum(both.values()) == pytest.approx(9)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=16))
def test_grows_with_the_share(buckets: list[int]) -> None:
    found = [histograms.percentile(histograms.whole([], [buckets]), share) for share in SHARES]

    assert found == [None] * 3 or found == sorted(each or 0 for each in found)
