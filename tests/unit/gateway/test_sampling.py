"""Which requests of a second are told, and how many each stands for."""

from __future__ import annotations

import pytest

from gateway.traffic.requests.ended import Ended, parse
from gateway.traffic.requests.sampling import choose


def ended(number: int, *, status: int = 200, total_ms: int = 1, weight: int = 1) -> Ended:
    found = parse(
        f"e {weight} {total_ms} 0 0 0 1 - - used - - - "
        f"asked r{number} GET Lw {status} -- n1 - - - -",
        at=float(number),
    )
    assert found is not None
    return found


def numbers(chosen: list[tuple[Ended, int]]) -> list[int]:
    return [int(each.at) for each, _ in chosen]


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, 7, 20, 99, 100])
@pytest.mark.parametrize("failed", [0, 1, 30, 100])
@pytest.mark.parametrize("unseen", [0, 17])
def test_never_tells_more_and_stands_for_all(most: int, failed: int, unseen: int) -> None:
    many = [
        ended(number, status=500 if number < failed else 200, weight=1 + number % 3)
        for number in range(100)
    ]

    chosen = choose(many, most=most, unseen=unseen)

    assert len(chosen) == most
    assert numbers(chosen) == sorted(set(numbers(chosen)))
    if most:
        assert sum(weight for _, weight in chosen) == sum(e.weight for e in many) + unseen
    assert all(weight >= each.weight for each, weight in chosen)


def test_tells_all_where_there_is_room() -> None:
    few = [ended(number, weight=16) for number in range(20)]

    assert choose(few, most=20) == [(each, 16) for each in few]


@pytest.mark.parametrize(
    ("failed", "kept"), [([], 0), ([50], 1), ([3, 50, 99], 3), (list(range(40, 60)), 10)]
)
def test_tells_those_that_failed_up_to_half(failed: list[int], kept: int) -> None:
    many = [ended(number, status=502 if number in failed else 200) for number in range(100)]

    chosen = choose(many, most=20)

    assert sum(each.has_failed for each, _ in chosen) >= kept
    assert sum(not each.has_failed for each, _ in chosen) >= 20 - max(kept, len(failed))


def test_tells_the_slowest() -> None:
    slow = (7, 42, 43, 70, 98)
    many = [ended(number, total_ms=900 if number in slow else 1) for number in range(100)]

    assert set(slow) <= set(numbers(choose(many, most=20)))


def test_takes_the_others_from_the_whole_second() -> None:
    found = numbers(choose([ended(number) for number in range(1000)], most=20))

    assert max(b - a for a, b in zip(found[5:], found[6:], strict=False)) <= 70
    assert found[-1] > 900
