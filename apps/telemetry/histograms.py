"""Percentiles out of histograms. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.schema import LATENCY_BOUNDS_MS


def percentile(buckets: Sequence[int], share: float) -> float | None:
    """This function will return the time in milliseconds below which `share` of the requests took,
    by interpolation inside its bucket; None without requests.

    Above the last bound only the bound is known.
    """
    total = sum(buckets)
    if total <= 0:
        return None
    wanted, passed, lower = share * total, 0, 0.0
    for count, upper in zip(buckets, LATENCY_BOUNDS_MS, strict=False):
        if count and passed + count >= wanted:
            return lower + (upper - lower) * (wanted - passed) / count
        passed, lower = passed + count, float(upper)
    return lower
