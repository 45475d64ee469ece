"""Percentiles out of histograms. Pure.

A histogram counts by index in LATENCY_BOUNDS_US. It is kept as pairs, index and count in turn, of
the buckets that are not empty. Gateways of earlier versions said fewer and wider buckets, by
LATENCY_BOUNDS_MS; what of theirs is kept is spread over the fine ones that they cover.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from gateway.schema import LATENCY_BOUNDS_MS, LATENCY_BOUNDS_US

US_PER_MS = 1000
# What lies below the finest bound, and above the last, is taken for so much.
LEAST_US, MOST_US = 50, LATENCY_BOUNDS_US[-1]
EDGES_US = (LEAST_US, *LATENCY_BOUNDS_US)
# Sums of numbers that are not whole are not exact.
EPSILON = 1e-9

Histogram = Mapping[int, float]


def percentile(histogram: Histogram, share: float) -> float | None:
    """Return the time in milliseconds that `share` of the requests did not exceed; None without
    requests.

    It is the middle of the bucket that this request lies in, 4.2 % from its edges at most.
    """
    return percentiles(histogram, [share])[0]


def percentiles(histogram: Histogram, shares: Sequence[float]) -> list[float | None]:
    """Return the percentiles of several shares, which grow."""
    total = sum(histogram.values())
    if total <= 0:
        return [None for _ in shares]
    buckets = iter(sorted(histogram.items()))
    found: list[float | None] = []
    index, passed = 0, 0.0
    for share in shares:
        while passed < share * total * (1 - EPSILON):
            index, count = next(buckets, (len(LATENCY_BOUNDS_US), total))
            passed += count
        found.append(float(f"{middle_us(index) / US_PER_MS:.4g}"))
    return found


def middle_us(index: int) -> float:
    """Return the geometric middle of a bucket; of the last one only the lower bound is known."""
    return (
        math.sqrt(EDGES_US[index] * EDGES_US[index + 1]) if index < len(EDGES_US) - 1 else MOST_US
    )


def pairs(counts: Mapping[int, int]) -> list[int]:
    """Return a histogram as it is kept."""
    return [number for index in sorted(counts) for number in (index, counts[index])]


def counts_of(kept: Sequence[int] | None) -> dict[int, int]:
    """Return a histogram of its pairs. None is what an earlier version wrote."""
    return dict(zip((kept or ())[::2], (kept or ())[1::2], strict=False))


def added(*many: Sequence[int] | None) -> list[int]:
    """Add histograms as they are kept."""
    total: dict[int, int] = {}
    for kept in many:
        for index, count in counts_of(kept).items():
            total[index] = total.get(index, 0) + count
    return pairs(total)


def grown(before: Sequence[int], now: Sequence[int]) -> list[int]:
    """Return what a histogram counts more than before; all of it, where it began again at zero."""
    old, new = counts_of(before), counts_of(now)
    more = {index: new.get(index, 0) - old.get(index, 0) for index in new.keys() | old.keys()}
    if any(count < 0 for count in more.values()):
        return list(now)
    return pairs({index: count for index, count in more.items() if count})


def whole(fine: Iterable[Sequence[int] | None], coarse: Iterable[Sequence[int]]) -> Histogram:
    """Return all as one, those of wider buckets too."""
    total: dict[int, float] = {}
    for kept in fine:
        for index, count in zip((kept or ())[::2], (kept or ())[1::2], strict=False):
            total[index] = total.get(index, 0) + count
    for buckets in coarse:
        for place, count in enumerate(buckets[: len(LATENCY_BOUNDS_MS) + 1]):
            for index, share in spread(place) if count else ():
                total[index] = total.get(index, 0) + count * share
    return total


@functools.cache
def spread(place: int) -> list[tuple[int, float]]:
    """Return how much of a coarse bucket lies in each fine one, if times lie evenly on a scale of
    orders of magnitude."""
    edges = [LEAST_US, *(bound_ms * US_PER_MS for bound_ms in LATENCY_BOUNDS_MS)]
    first = bisect_left(LATENCY_BOUNDS_US, edges[place] + 1)
    if place == len(LATENCY_BOUNDS_MS):
        return [(first, 1.0)]
    last = LATENCY_BOUNDS_US.index(edges[place + 1])
    length = math.log(edges[place + 1] / edges[place])
    return [
        (index, math.log(EDGES_US[index + 1] / EDGES_US[index]) / length)
        for index in range(first, last + 1)
    ]
