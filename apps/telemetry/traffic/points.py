"""What a gateway saw of one service in one look: the form in which demand is handed on. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One look. `at` is in seconds since 1970; `seconds` is the time since the look before.

    `answered` counts the answers given in that time; `in_flight` and `held` are how many requests
    were being worked on, and how many waited for a replica, when the gateway looked.
    """

    at: float
    seconds: float
    answered: int = 0
    in_flight: int = 0
    held: int = 0

    @property
    def outstanding(self) -> int:
        return self.in_flight + self.held

    @property
    def is_quiet(self) -> bool:
        return not (self.answered or self.outstanding)
