"""When a machine that nobody wants has to end, by a clock that is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.agent.config import Machine
from apps.agent.host import files
from apps.agent.machine.watchdog import Watchdog
from apps.agent.server.contact import Contact

RULES = Machine()
MINUTE, HOUR = 60.0, 3600.0


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "contact.json"


def test_ends_what_is_refused_for_ten_minutes(clock: Clock, kept: Path) -> None:
    contact = Contact(now=clock)
    dog = Watchdog(RULES, contact, kept)
    contact.answered()
    contact.refused()

    clock.time += 10 * MINUTE - 1
    contact.refused()
    assert dog.why() == ""
    assert dog.left_seconds() == 1

    clock.time += 1
    assert dog.why() == "the server has refused this machine for 10 min"


def test_an_answer_makes_good_for_what_was_refused(clock: Clock, kept: Path) -> None:
    contact = Contact(now=clock)
    dog = Watchdog(RULES, contact, kept)
    for _ in range(5):
        contact.refused()
        clock.time += 9 * MINUTE
        assert dog.why() == ""
        contact.answered()

    assert dog.left_seconds() == 12 * HOUR


def test_ends_what_hears_of_no_server_for_half_a_day(clock: Clock, kept: Path) -> None:
    contact = Contact(now=clock)
    dog = Watchdog(RULES, contact, kept)
    clock.time += 11 * HOUR
    contact.answered()

    clock.time += 12 * HOUR - 1
    assert dog.why() == ""

    clock.time += 1
    assert dog.why() == "no server has answered for 12.0 h"


def test_counts_on_after_the_agent_was_killed(clock: Clock, kept: Path) -> None:
    contact = Contact(now=clock)
    dog = Watchdog(RULES, contact, kept)
    contact.answered()
    contact.refused()
    clock.time += 2 * MINUTE
    dog.why()

    later = Watchdog(RULES, Contact(now=clock), kept)

    assert later.left_seconds() == 8 * MINUTE


@pytest.mark.parametrize(
    "left", [{"boot_id": "another", "answered_at": 1.0, "refused_since": 1.0}, {}, None]
)
def test_starts_anew_with_the_host(clock: Clock, kept: Path, left: dict[str, object]) -> None:
    files.write_json(kept, left)
    clock.time = 50 * HOUR

    dog = Watchdog(RULES, Contact(now=clock), kept)

    assert dog.why() == ""
    assert dog.left_seconds() == 12 * HOUR
