"""What a simulation asks each second: how many replicas should there be? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from apps.autoscaling.decide import Facts, Memory, Policy, decide, wake
from apps.telemetry.traffic.points import Point

TICK_SECONDS = 2


@dataclass(frozen=True)
class Seen:
    """What a rule may know at `second`: a point for each second so far, and who came in each."""

    second: int
    desired: int
    ready: int
    held: int
    points: Sequence[Point]
    arrivals: Sequence[int]

    def rps(self, seconds: int) -> float:
        """Return the mean of the last seconds, or of those that there were."""
        return sum(self.arrivals[-seconds:]) / max(min(seconds, len(self.arrivals)), 1)

    def concurrency(self, seconds: int) -> float:
        """Return the mean of what waited or was in work."""
        last = [point.outstanding for point in self.points][-seconds:]
        return sum(last) / max(len(last), 1)


@dataclass(frozen=True)
class Step:
    desired: int
    reason: str


class Rule(Protocol):
    """`holds`: whether a request waits for the first replica, or is refused while there is none."""

    holds: bool

    def look(self, seen: Seen) -> Step | None:
        """Return what is desired now; None is nothing new."""


class Own:
    """The rule of this product."""

    holds = True

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._memory = Memory()

    def look(self, seen: Seen) -> Step | None:
        verdict = wake(self._policy, seen.desired) if seen.held else None
        if verdict is None:
            if seen.second % TICK_SECONDS:
                return None
            facts = Facts(seen.desired, seen.ready, seen.points)
            verdict = decide(self._policy, facts, self._memory, at=float(seen.second))
        self._memory = verdict.memory
        return Step(verdict.desired, verdict.reason)
