from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.telemetry.histograms import percentile
from gateway.schema import LATENCY_BOUNDS_MS


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ([], 0.5, None),
        ([0, 0], 0.5, None),
        # All between 5 and 10 ms: the middle of them.
        ([0, 0, 0, 10], 0.5, 7.5),
        ([0, 0, 0, 10], 1.0, 10),
        ([90, 0, 0, 0, 0, 0, 0, 10], 0.95, 150),
        ([0] * len(LATENCY_BOUNDS_MS) + [5], 0.5, 60_000),
    ],
)
def test_interpolates_inside_the_bucket(
    buckets: list[int], share: float, expected: float | None
) -> None:
    assert percentile(buckets, share) == (pytest.approx(expected) if expected else expected)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=16))
def test_grows_with_the_share(buckets: list[int]) -> None:
    found = [percentile(buckets, share) for share in (0.5, 0.95, 0.99)]

    assert found == [None] * 3 or found == sorted(each or 0 for each in found)
