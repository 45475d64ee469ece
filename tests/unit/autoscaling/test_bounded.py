"""More replicas only where the project may have machines for them."""

from __future__ import annotations

import pytest

from apps.autoscaling.decide import PROJECT, RANGE, UP, WAKE, Memory, Verdict, bounded

WHY = "the limit of project main: 3 of 3 instances in use"


@pytest.mark.parametrize(
    ("verdict", "seen", "most", "found"),
    [
        (Verdict(3, UP, "2 -> 3: 38 rps", Memory()), 2, 3, (3, UP, "2 -> 3: 38 rps")),
        (Verdict(1, UP, "2 -> 1: 3 rps", Memory()), 2, 0, (1, UP, "2 -> 1: 3 rps")),
        (
            Verdict(5, UP, "2 -> 5: 38 rps", Memory()),
            2,
            3,
            (3, UP, f"2 -> 3, limited by the project: 38 rps, needs 5; {WHY}"),
        ),
        (
            Verdict(5, UP, "2 -> 5: 38 rps", Memory()),
            2,
            1,
            (2, PROJECT, f"stays at 2, limited by the project: 38 rps, needs 5; {WHY}"),
        ),
        (
            Verdict(1, WAKE, "0 -> 1: a request is held", Memory()),
            0,
            0,
            (0, PROJECT, f"stays at 0, limited by the project: a request is held, needs 1; {WHY}"),
        ),
        (Verdict(2, RANGE, "1 -> 2: scales in", Memory()), 1, 1, (2, RANGE, "1 -> 2: scales in")),
    ],
)
def test_bounds_what_goes_up(
    verdict: Verdict, seen: int, most: int, found: tuple[int, str, str]
) -> None:
    got = bounded(verdict, seen=seen, most=most, why=WHY)

    assert (got.desired, got.kind, got.reason) == found
