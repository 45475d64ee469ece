"""How others scale, by what they publish and with their defaults, to be compared with. Pure.

They get the range and the target of our policy; windows and delays are their own. Left out is what
a simulation in whole seconds does not show: the time until their statistics arrive.
"""

from __future__ import annotations

import math

from apps.autoscaling.decide import Policy
from apps.autoscaling.simulation.rules import Own, Rule, Seen, Step

WINDOW_SECONDS = 60


class Knative:
    """Knative Serving's KPA (`pkg/autoscaler/scaling/autoscaler.go`), by its default settings.

    Two windows (60 and 6 s), the target at 70 %, a look each 2 s. Panic when the short window needs
    twice the ready replicas: no way down for 60 s. Down to half at most in one look; the last
    replica stays for a grace period of 30 s. Its activator holds requests and calls for a look.
    """

    holds = True
    TICK_SECONDS, PANIC_SECONDS, GRACE_SECONDS = 2, 6, 30
    UTILIZATION, PANIC_TIMES, DOWN_TIMES = 0.7, 2.0, 2.0

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._panic_at: int | None = None
        self._panic_most = 0
        self._nothing_since: int | None = None

    def look(self, seen: Seen) -> Step | None:
        poked = seen.held > 0 and seen.desired == 0
        if seen.second % self.TICK_SECONDS and not poked:
            return None
        stable, panic = self._needed(seen, WINDOW_SECONDS), self._needed(seen, self.PANIC_SECONDS)
        asked = self._steadied(seen, max(stable, 1) if poked else stable, panic)
        return _within(self._policy, seen, self._grace(seen, asked))

    def _needed(self, seen: Seen, seconds: int) -> int:
        value = (seen.rps if self._policy.metric == "rps" else seen.concurrency)(seconds)
        least = math.floor(max(seen.ready, 1) / self.DOWN_TIMES)
        return max(math.ceil(value / (self._policy.target * self.UTILIZATION)), least)

    def _steadied(self, seen: Seen, stable: int, panic: int) -> int:
        if panic / max(seen.ready, 1) >= self.PANIC_TIMES:
            self._panic_at = seen.second
        if self._panic_at is None or seen.second - self._panic_at >= WINDOW_SECONDS:
            self._panic_at, self._panic_most = None, 0
            return stable
        self._panic_most = max(self._panic_most, stable, panic)
        return self._panic_most

    def _grace(self, seen: Seen, asked: int) -> int:
        if asked > 0:
            self._nothing_since = None
            return asked
        if self._nothing_since is None:
            self._nothing_since = seen.second
        waited = seen.second - self._nothing_since
        return 0 if waited >= self.GRACE_SECONDS else min(seen.desired, 1)


class SkyServe:
    """SkyServe 0.14 (`sky/serve/autoscalers.py`): the request rate of 60 s, looked at each 20 s.

    Up after 15 looks in a row that say so (300 s), down after 60 (1,200 s). From zero at once, at
    looks each 5 s; a request that finds no replica is refused.
    """

    holds = False
    TICK_SECONDS, ASLEEP_TICK_SECONDS = 20, 5
    UP_LOOKS, DOWN_LOOKS = 15, 60

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._looks = 0

    def look(self, seen: Seen) -> Step | None:
        if seen.second % (self.TICK_SECONDS if seen.desired else self.ASLEEP_TICK_SECONDS):
            return None
        target = _rate_needs(self._policy, seen)
        direction = (target > seen.desired) - (target < seen.desired)
        # One counter: looks up count upwards from 0, looks down downwards.
        self._looks = self._looks + direction if self._looks * direction >= 0 else direction
        if direction == 0:
            self._looks = 0
        if seen.desired == 0 or not -self.DOWN_LOOKS < self._looks < self.UP_LOOKS:
            self._looks = 0
            return _within(self._policy, seen, target)
        return None


class Dstack:
    """dstack 0.20 (`services/autoscalers.py`): the request rate of 60 s, looked at each 2 s.

    Up at the earliest 300 s after the last change, down 600 s; from zero at once. A request that
    finds no replica is refused, and counts.
    """

    holds = False
    TICK_SECONDS, UP_SECONDS, DOWN_SECONDS = 2, 300, 600

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._changed_at = 0

    def look(self, seen: Seen) -> Step | None:
        if seen.second % self.TICK_SECONDS:
            return None
        target = _rate_needs(self._policy, seen)
        patience = self.UP_SECONDS if target > seen.desired else self.DOWN_SECONDS
        if target == seen.desired or (seen.desired and seen.second - self._changed_at < patience):
            return None
        self._changed_at = seen.second
        return _within(self._policy, seen, target)


def _rate_needs(policy: Policy, seen: Seen) -> int:
    """The rate over 60 s, also where there were fewer."""
    rate = sum(seen.arrivals[-WINDOW_SECONDS:]) / WINDOW_SECONDS
    return min(max(math.ceil(rate / policy.target), policy.least), policy.most)


def _within(policy: Policy, seen: Seen, asked: int) -> Step:
    desired = min(max(asked, policy.least), policy.most)
    return Step(desired, f"{seen.desired} -> {desired}")


def rules(policy: Policy) -> dict[str, Rule]:
    """Return our rule and those of others that know the policy's metric."""
    found: dict[str, Rule] = {"dstack-web": Own(policy), "Knative": Knative(policy)}
    if policy.metric == "rps":
        found |= {"SkyServe": SkyServe(policy), "dstack": Dstack(policy)}
    return found
