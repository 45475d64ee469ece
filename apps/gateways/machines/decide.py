"""What to do next with a gateway on a machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.core.backoff import Backoff
from apps.gateways import states

# Changes of its machine are told at once; this is for hints that were lost.
LOOKED_AT = timedelta(seconds=30)
SOON = timedelta(seconds=5)
MAX_ATTEMPTS = 8
BACKOFF = Backoff(timedelta(seconds=5), timedelta(minutes=5))

RESERVE, PLACE, ATTACH, SERVE = "reserve", "place", "attach", "serve"
ANEW, GIVE_UP = "anew", "give_up"
END_MACHINE, RELEASE, WAIT = "end_machine", "release", "wait"


@dataclass(frozen=True)
class Facts:
    """`has_address`: its static address is reserved, or its backend has none to reserve. `machine`
    is "none", "coming", "there" or "over"; `is_attached`: callers who go to its address come to
    that machine. `is_heard`: the gateway on this very machine has reported, and answers its agent.
    `has_served`: it served before, on this machine or another."""

    state: str
    has_address: bool
    machine: str
    is_attached: bool = False
    is_heard: bool = False
    has_served: bool = False
    attempts: int = 0


@dataclass(frozen=True)
class Step:
    do: str
    next_check_at: datetime | None = None


def next_step(facts: Facts, *, at: datetime) -> Step:
    """Return what to do and when to look again where nothing else happens."""
    if facts.state == states.DELETING:
        is_gone = facts.machine in ("none", "over")
        return Step(RELEASE) if is_gone else Step(END_MACHINE, at + SOON)
    if facts.state == states.CREATING:
        return Step(PLACE) if facts.has_address else Step(RESERVE)
    if facts.state in (states.PROVISIONING, states.RUNNING):
        return _with_machine(facts, at)
    return Step(WAIT)


def _with_machine(facts: Facts, at: datetime) -> Step:
    if facts.machine in ("none", "over"):
        # One that people use is never given up; one that never served costs nothing meanwhile.
        is_hopeless = not facts.has_served and facts.attempts + 1 >= MAX_ATTEMPTS
        return Step(GIVE_UP) if is_hopeless else Step(ANEW, after(facts.attempts, at=at))
    if facts.machine == "there" and not facts.is_attached:
        return Step(ATTACH)
    if facts.state == states.PROVISIONING and facts.is_attached and facts.is_heard:
        return Step(SERVE)
    is_young = facts.state == states.PROVISIONING
    return Step(WAIT, at + (SOON if is_young else LOOKED_AT))


def after(attempts: int, *, at: datetime) -> datetime:
    """Return when to try again after so many attempts that failed; the first time at once."""
    return at + BACKOFF.after(attempts) if attempts else at
