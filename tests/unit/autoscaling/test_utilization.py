"""When a run's GPUs count as unused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.autoscaling import decide
from apps.autoscaling.decide import GpuUse, Utilization

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = Utilization(least_percent=10, window=HOUR)
UNUSED = GpuUse(ready_at=AT - HOUR, busiest_percent=9.9, known_seconds=3600)


@pytest.mark.parametrize(
    ("change", "is_unused"),
    [
        ({}, True),
        ({"busiest_percent": 0.0}, True),
        ({"busiest_percent": 10.0}, False),
        ({"busiest_percent": None}, False),
        ({"known_seconds": 3240}, True),
        ({"known_seconds": 3230}, False),
        ({"ready_at": AT - HOUR + timedelta(seconds=1)}, False),
        ({"ready_at": None}, False),
    ],
)
def test_is_unused_only_on_figures_of_the_whole_window(
    change: dict[str, Any], is_unused: bool
) -> None:
    other = replace(UNUSED, **change)

    assert decide.is_unused(POLICY, [other], at=AT) is is_unused
    assert decide.is_unused(POLICY, [UNUSED, other], at=AT) is is_unused


def test_a_run_without_replicas_is_asleep_and_not_unused() -> None:
    assert not decide.is_unused(POLICY, [], at=AT)


def test_a_policy_of_0_percent_never_acts() -> None:
    idle = replace(UNUSED, busiest_percent=0.0)

    assert not decide.is_unused(replace(POLICY, least_percent=0), [idle], at=AT)
