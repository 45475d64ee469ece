"""How long a child waits for its next start."""

from __future__ import annotations

from typing import Any

import pytest

from dstack_web.embedded import backoff
from dstack_web.embedded.backoff import Ends

KILLED: dict[str, Any] = {"code": -9, "lived_seconds": 1.0, "came_up": True}
KILLED_EARLY = {**KILLED, "came_up": False}
TOLD_TO_STOP = {"code": 0, "lived_seconds": 3.0, "came_up": True}
DIES_AT_ONCE = {"code": 1, "lived_seconds": 0.5, "came_up": False}
DIES_SOON = {"code": 1, "lived_seconds": 5.0, "came_up": True}
SEGFAULT = {"code": -11, "lived_seconds": 5.0, "came_up": True}
DIES_LATER = {"code": 1, "lived_seconds": 30.0, "came_up": True}


def delays(*ends: dict[str, Any]) -> list[float]:
    found: list[float] = []
    known = Ends()
    for each in ends:
        known, delay = backoff.after(known, **each)
        found.append(delay)
    return found


@pytest.mark.parametrize("end", [KILLED, TOLD_TO_STOP, DIES_LATER])
def test_one_that_worked_is_back_soon_however_often_it_ends(end: dict[str, Any]) -> None:
    assert delays(*[end] * 50)[-1] == 2


def test_one_that_is_killed_while_it_starts_is_back_within_seconds() -> None:
    assert delays(*[KILLED_EARLY] * 50)[-1] == 3


@pytest.mark.parametrize("end", [DIES_AT_ONCE, DIES_SOON, SEGFAULT])
def test_one_that_does_not_work_waits_longer_and_longer(end: dict[str, Any]) -> None:
    assert delays(*[end] * 9) == [0.1, 0.5, 1, 2, 5, 10, 30, 30, 30]


def test_ends_from_outside_count_for_nothing_when_a_start_fails() -> None:
    assert delays(*[KILLED] * 10, DIES_AT_ONCE)[-1] == 0.1


def test_a_kill_does_not_forgive_a_child_that_never_comes_up() -> None:
    assert delays(*[DIES_AT_ONCE] * 7, KILLED_EARLY, DIES_AT_ONCE)[-1] == 30


def test_one_that_came_up_is_forgiven_what_was_before() -> None:
    assert delays(*[DIES_AT_ONCE] * 7, KILLED, DIES_AT_ONCE)[-1] == 0.1


def test_a_minute_of_life_forgives_everything() -> None:
    assert delays(*[DIES_AT_ONCE] * 7, {**DIES_AT_ONCE, "lived_seconds": 61})[-1] == 0.1
