"""Where a replica and its machine stand, in words, and since when. Pure.

No words change with the clock: how long it has been so is `since`, which whoever shows it counts
on from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.instances import states as machines
from apps.instances.boot.failures import printable
from apps.runs import states

MOST_CHARACTERS = 300


@dataclass(frozen=True)
class Phase:
    """What is going on, "" where nothing is but serving or having ended."""

    text: str = ""
    since: datetime | None = None


@dataclass(frozen=True)
class Machine:
    """The instance that a replica was given. `running_at` is when its backend first said that it
    runs, `error` what the last call of the backend came to, `next_try_at` when the next is due,
    `step` what it said that it does while it boots."""

    state: str
    state_at: datetime
    name: str
    region: str
    running_at: datetime | None = None
    reported_at: datetime | None = None
    error: str = ""
    next_try_at: datetime | None = None
    shared: bool = False
    step: str = ""
    step_at: datetime | None = None

    @property
    def where(self) -> str:
        return self.name if self.region in ("", self.name) else f"{self.name} in {self.region}"


@dataclass(frozen=True)
class Workload:
    """`is_taken` once the agent has begun with it; `told` is what it says that it does."""

    state_at: datetime
    is_taken: bool = False
    is_stopping: bool = False
    told: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known of a replica. `found_no_place` says that the one before it of its number ended
    for want of an offer, `failed_by` with which message, `gives_up_at` when `retry` looks for one
    no longer, and `tries` is how many offers this one could not get."""

    state: str
    state_at: datetime
    not_before: datetime | None = None
    found_no_place: bool = False
    failed_by: str = ""
    gives_up_at: datetime | None = None
    tries: int = 0
    machine: Machine | None = None
    workload: Workload | None = None


def phase(facts: Facts, *, at: datetime) -> Phase:
    """Return what the replica waits for or does, and since when."""
    if facts.state in states.REPLICA.final:
        return _ending(facts.machine)
    if facts.state == states.PENDING:
        return _pending(facts, at)
    if facts.machine is not None and facts.machine.state == machines.LOST:
        return Phase("no report from its machine", facts.machine.reported_at)
    if facts.state == states.DRAINING:
        return _draining(facts)
    if facts.state == states.PROVISIONING:
        return _provisioning(facts)
    return _of_workload(facts)


def _ending(machine: Machine | None) -> Phase:
    if machine is None or machine.shared or machine.state != machines.TERMINATING:
        return Phase()
    return Phase(f"ending {machine.where}{_fault(machine)}", machine.state_at)


def _pending(facts: Facts, at: datetime) -> Phase:
    if facts.not_before is not None and facts.not_before > at:
        what = "waiting for capacity" if facts.found_no_place else _after_failure(facts.failed_by)
        over = facts.gives_up_at if facts.found_no_place else None
        until = f", gives up at {_day(over, at)}{_clock(over)}" if over else ""
        return Phase(f"{what}, next try at {_clock(facts.not_before)}{until}", facts.state_at)
    what = "looking for another offer" if facts.tries else "looking for an offer"
    return Phase(what, facts.state_at)


def _after_failure(message: str) -> str:
    told = printable(message)[:MOST_CHARACTERS].rstrip(". ")
    return f"waiting after a failure ({told})" if told else "waiting after a failure"


def _draining(facts: Facts) -> Phase:
    if facts.workload is not None and facts.workload.is_stopping:
        return Phase("stopping", facts.state_at)
    return Phase("finishing its requests", facts.state_at)


def _provisioning(facts: Facts) -> Phase:
    machine = facts.machine
    if machine is None:
        return Phase()
    if machine.state in (machines.REQUESTED, machines.CREATING):
        return Phase(f"creating {machine.where}{_fault(machine)}", machine.state_at)
    if machine.state == machines.BOOTING:
        since = machine.running_at or machine.state_at
        return Phase(machine.step or "booting", machine.step_at or since)
    if machine.state == machines.TERMINATING:
        return _ending(machine)
    if facts.workload is not None and not facts.workload.is_taken:
        return Phase("waiting for the machine's agent to take it", facts.workload.state_at)
    return _of_workload(facts)


def _of_workload(facts: Facts) -> Phase:
    if facts.workload is None or not facts.workload.told:
        return Phase()
    told = printable(facts.workload.told)[:MOST_CHARACTERS]
    since = facts.state_at if facts.state == states.UNHEALTHY else facts.workload.state_at
    return Phase(told, since)


def _fault(machine: Machine) -> str:
    """Say what the last call came to, where it is repeated."""
    if not machine.error:
        return ""
    said = f": {printable(machine.error)[:MOST_CHARACTERS].rstrip('. ')}"
    return said + (f"; next try at {_clock(machine.next_try_at)}" if machine.next_try_at else "")


def _day(over: datetime, at: datetime) -> str:
    return "" if over.date() == at.date() else f"{over:%d %b} "


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S} UTC"


def tried_words(tried: Sequence[dict[str, Any]]) -> str:
    """Say how many offers were tried, "" for none."""
    return f"{len(tried)} offer{'' if len(tried) == 1 else 's'} tried" if tried else ""
