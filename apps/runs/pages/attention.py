"""Which services need a look, and why, in one sentence. Pure.

A service needs a look where a person can do something that it cannot do itself. What starts for the
first time, sleeps, or ended as asked needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from apps.runs import states
from apps.runs.pages.load import NO_LOAD, Load

# Fewer calls say nothing of a service: one person's mistyped address is not its fault.
LEAST_CALLS = 10
ERRORS_PERCENT = 1.0


@dataclass(frozen=True)
class Facts:
    """What is known of a run.

    `failing` are replicas by number whose probe fails, with what it said; `retried` those that are
    being started again, with why the one before ended. `most_replicas` is None where it does not
    scale by itself.
    """

    state: str
    error: str = ""
    notice: str = ""
    desired: int = 0
    ready: int = 0
    failing: Mapping[int, str] = field(default_factory=dict)
    retried: Mapping[int, str] = field(default_factory=dict)
    most_replicas: int | None = None
    load: Load = NO_LOAD


def reason(facts: Facts) -> str:
    """Return why a run needs a look, the worst first; "" where it needs none."""
    if facts.state == states.FAILED:
        return facts.error or "It failed."
    if facts.state in (states.STOPPING, *states.RUN.final):
        return ""
    return (
        _retried(facts)
        or _failing(facts)
        or facts.notice
        or _errors(facts.load)
        or _limit(facts)
    )  # fmt: skip


def _retried(facts: Facts) -> str:
    if not facts.retried or not facts.desired:
        return ""
    why = next((said for said in facts.retried.values() if said), "the try before failed")
    if not facts.ready:
        return f"Not ready, tried again: {why}"
    count = len(facts.retried)
    return f"{count} of {facts.desired} replicas {_is(count)} tried again: {why}"


def _failing(facts: Facts) -> str:
    if not facts.failing:
        return ""
    count = len(facts.failing)
    said = next((text for text in facts.failing.values() if text), "")
    why = f": {said}" if said else ""
    return (
        f"{count} replica{'s' * (count != 1)} get{'s' * (count == 1)} no requests, probe fails{why}"
    )


def _errors(load: Load) -> str:
    if load.calls < LEAST_CALLS or load.errors * 100 < ERRORS_PERCENT * load.calls:
        return ""
    count = f"{load.errors:,} of {load.calls:,}"
    return f"{count} requests failed (5xx) in the last {load.minutes} minutes"


def _limit(facts: Facts) -> str:
    most = facts.most_replicas
    if not most or facts.ready < most or not facts.load.held_most:
        return ""
    limit = f"At its limit of {most} replica{'s' * (most != 1)}"
    return f"{limit}: {facts.load.held_most:,} requests waited"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
