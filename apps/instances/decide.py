"""What to do next with an instance. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.instances import states

# An agent reports every 10 s; six missed reports are not chance.
SILENT = timedelta(seconds=60)
# A host that is away this long is given up, and what ran on it is replaced.
GIVEN_UP = timedelta(minutes=10)
BOOT_DEADLINE = timedelta(minutes=20)
MAX_ATTEMPTS = 5
RETRY = timedelta(seconds=5)

CREATE, MARK_LOST, MARK_IDLE, MARK_READY = "create", "mark_lost", "mark_idle", "mark_ready"
BEGIN_END, TERMINATE, WAIT = "begin_end", "terminate", "wait"


@dataclass(frozen=True)
class Facts:
    """`heard_at` is the last report, or the start of this control plane if that is later: while we
    were away nobody could have been heard. `live` counts workloads that have not exited."""

    state: str
    shared: bool
    state_at: datetime
    heard_at: datetime | None
    idle_since: datetime | None
    idle_after: timedelta | None
    live: int


@dataclass(frozen=True)
class Step:
    do: str
    reason: str = ""
    look_at: datetime | None = None


def next_step(facts: Facts, *, at: datetime) -> Step:
    """This function will return what to do with the instance and when to look at it again."""
    if facts.state in (states.REQUESTED, states.CREATING):
        return Step(CREATE)
    if facts.state == states.TERMINATING:
        return Step(TERMINATE)
    if facts.state == states.BOOTING:
        return _booting(facts, at)
    if facts.state == states.LOST:
        return _lost(facts, at)
    return _alive(facts, at)


def _booting(facts: Facts, at: datetime) -> Step:
    if at - facts.state_at > BOOT_DEADLINE:
        minutes = int(BOOT_DEADLINE.total_seconds() // 60)
        return Step(BEGIN_END, f"its agent did not call within {minutes} minutes")
    return Step(WAIT, look_at=facts.state_at + BOOT_DEADLINE)


def _lost(facts: Facts, at: datetime) -> Step:
    if at - facts.state_at > GIVEN_UP:
        return Step(BEGIN_END, "its agent has been silent for too long")
    return Step(WAIT, look_at=facts.state_at + GIVEN_UP)


def _alive(facts: Facts, at: datetime) -> Step:
    if facts.heard_at is None or at - facts.heard_at > SILENT:
        return Step(MARK_LOST, f"no report for {int(SILENT.total_seconds())} s")
    idle = facts.live == 0 and not facts.shared
    if facts.state == states.READY and idle:
        return Step(MARK_IDLE, "nothing left to run")
    if facts.state == states.IDLE and not idle:
        return Step(MARK_READY, "has work")
    if facts.state == states.IDLE and facts.idle_after is not None and facts.idle_since:
        if at - facts.idle_since >= facts.idle_after:
            return Step(BEGIN_END, f"idle for {facts.idle_after}")
        return Step(WAIT, look_at=facts.idle_since + facts.idle_after)
    return Step(WAIT, look_at=at + SILENT)
