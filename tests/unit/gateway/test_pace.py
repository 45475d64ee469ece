from __future__ import annotations

from gateway.schema import Stats
from gateway.traffic.pace import Pace


def look(sequence: int) -> Stats:
    return Stats(boot_id="b", sequence=sequence, at=float(sequence))


def sent(pace: Pace, *looks: tuple[float, bool]) -> list[list[int]]:
    """What is sent at each (time, is_quiet), by sequence."""
    answers = [
        pace.due(look(number), is_quiet=is_quiet, at=at)
        for number, (at, is_quiet) in enumerate(looks)
    ]
    return [[each.sequence for each in answer] for answer in answers]


def test_sends_every_look_with_news() -> None:
    assert sent(Pace(), (0, False), (1, False), (2, False)) == [[0], [1], [2]]


def test_sends_a_quiet_look_now_and_then() -> None:
    looks = [(second, True) for second in range(5)]

    assert sent(Pace(), *looks) == [[0], [], [2], [], [4]]


def test_sends_the_quiet_look_before_what_begins() -> None:
    assert sent(Pace(), (0, True), (1, True), (2, False), (3, False)) == [[0], [], [1, 2], [3]]


def test_sends_a_look_once() -> None:
    assert sent(Pace(), (0, True), (1, True), (2, True), (3, False)) == [[0], [], [2], [3]]
