from __future__ import annotations

from gateway.schema import Stats
from gateway.traffic.throttle import ReportThrottle


def scrape(sequence: int) -> Stats:
    return Stats(boot_id="b", sequence=sequence, at=float(sequence))


def sent(*scrapes: tuple[float, bool]) -> list[list[int]]:
    """What is sent at each (time, is_quiet), by sequence."""
    throttle = ReportThrottle()
    answers = [
        throttle.due(scrape(number), is_quiet=is_quiet, at=at)
        for number, (at, is_quiet) in enumerate(scrapes)
    ]
    return [[each.sequence for each in answer] for answer in answers]


def test_sends_every_scrape_with_news() -> None:
    assert sent((0, False), (1, False), (2, False)) == [[0], [1], [2]]


def test_sends_a_quiet_scrape_now_and_then() -> None:
    scrapes = [(second, True) for second in range(5)]

    assert sent(*scrapes) == [[0], [], [2], [], [4]]


def test_sends_the_quiet_scrape_before_what_begins() -> None:
    assert sent((0, True), (1, True), (2, False), (3, False)) == [[0], [], [1, 2], [3]]


def test_sends_a_scrape_once() -> None:
    assert sent((0, True), (1, True), (2, True), (3, False)) == [[0], [], [2], [3]]
