"""A run in words and numbers: what its page shows, finished, so that templates only place it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise, zip_longest
from uuid import UUID

from apps.accounts.projects import BUDGET
from apps.core.models import Event
from apps.core.templatetags import ui
from apps.instances import states as machines
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.scale.desired_replicas import SCALING
from apps.runs.whereabouts.looking import Whereabouts

PHASES = {
    states.PENDING: ("offer", "finding a place"),
    states.PROVISIONING: ("machine", "the machine gets ready"),
    states.STARTING: ("app", "the process starts and its probe passes"),
}
# Of a machine that was made for the replica: how far it was, by the state that it came to.
OF_MACHINES = {
    machines.REQUESTED: ("creating", "the backend makes the machine"),
    machines.BOOTING: ("booting", "the machine boots until its agent reports"),
    machines.READY: PHASES[states.PROVISIONING],
    machines.TERMINATING: PHASES[states.PROVISIONING],
}
MACHINES = {machine.name: machine for machine in (states.RUN, states.REPLICA)}
# Events of no machine: `what: why`.
DECISIONS = (SCALING, states.VERSION, BUDGET)
# Of these the text says who did it.
SENTENCES = (states.VERSION, BUDGET)
WORDS = {
    ("run", states.SUBMITTED): "Submitted",
    ("run", states.PROVISIONING): "Getting replicas ready",
    ("run", states.RUNNING): "Serving",
    ("run", states.IDLE): "Asleep, without a replica",
    ("run", states.UPDATING): "Rolling out a new version",
    ("run", states.STOPPING): "Stopping",
    ("run", states.STOPPED): "Stopped",
    ("run", states.FAILED): "Failed",
    ("replica", states.PENDING): "waits for a place",
    ("replica", states.PROVISIONING): "has a place",
    ("replica", states.STARTING): "starts",
    ("replica", states.RUNNING): "is ready",
    ("replica", states.UNHEALTHY): "fails its probe",
    ("replica", states.DRAINING): "takes no new requests",
    ("replica", states.STOPPED): "ended",
    ("replica", states.FAILED): "failed",
    (states.REQUEST, states.UNANSWERED): "left a request without an answer",
}


# States of replicas that are ready, or were.
SERVED = (states.RUNNING, states.UNHEALTHY, states.DRAINING)


@dataclass(frozen=True)
class Happening:
    """One line of "what happened"; `tone` is its colour, "" for what is no more than said."""

    at: datetime
    tone: str
    text: str
    reason: str
    actor: str


@dataclass(frozen=True)
class Phase:
    """A part of a replica's start; `left` and `width` are parts of 1000 of the whole bar."""

    key: str
    title: str
    length: timedelta
    left: int
    width: int
    is_open: bool


@dataclass(frozen=True)
class ReplicaRow:
    replica: Replica
    where: Whereabouts
    cost_usd: Decimal | None = None


@dataclass(frozen=True)
class Start:
    """How a replica got ready, or how far it is."""

    label: str
    total: timedelta
    phases: Sequence[Phase]
    is_ready: bool


def happenings(events: Sequence[Event]) -> list[Happening]:
    """Put events of runs and replicas into words; `events` are newest first."""
    births = (
        event for event in reversed(events) if not event.old and event.state_machine == "replica"
    )
    began = {event.object_id: event.at for event in births}
    return [
        Happening(event.at, _tone(event), _text(event, began), _reason(event), _actor(event))
        for event in events
        if event.state_machine in DECISIONS or (event.state_machine, event.new) in WORDS
    ]


def _actor(event: Event) -> str:
    """Who did it, where the text does not begin with that."""
    return "" if event.state_machine in SENTENCES else event.actor


def _text(event: Event, began: Mapping[UUID, datetime]) -> str:
    if event.state_machine in DECISIONS:
        return _split(event)[0]
    words = WORDS[event.state_machine, event.new]
    if event.state_machine == states.REQUEST:
        words = event.reason
    if event.state_machine == "run":
        return words
    if event.new == states.RUNNING and event.old != states.UNHEALTHY and event.object_id in began:
        words = f"{words} after {ui.duration(event.at - began[event.object_id])}"
    return f"{event.label[:1].upper()}{event.label[1:]} {words}"


def _reason(event: Event) -> str:
    """The reason, where it says more than the state does."""
    if event.state_machine in DECISIONS:
        return _split(event)[1]
    is_said = event.state_machine == states.REQUEST or event.reason == event.new
    return "" if is_said else event.reason


def _split(event: Event) -> tuple[str, str]:
    """`2 -> 4: 38 rps over 6 s`, or `updated to version 3: port`, in words, and why."""
    what, _, why = event.reason.partition(": ")
    if event.state_machine in SENTENCES:
        return (f"{event.actor} {what}" if event.actor else f"{what[:1].upper()}{what[1:]}"), why
    changed = f"Scaled {what}"
    return (changed if event.old != event.new else f"Scaling: {what}"), why


def _tone(event: Event) -> str:
    """Return the colour of the state; a decision has that of what follows from it."""
    if event.state_machine == states.REQUEST:
        return "amber"
    if event.state_machine == BUDGET:
        return ""
    if event.state_machine == states.VERSION:
        return "blue" if int(event.new) > int(event.old) else "amber"
    if event.state_machine != SCALING:
        return MACHINES[event.state_machine].looks[event.new].tone
    if event.old == event.new:
        return "" if event.actor else "amber"
    return "blue" if int(event.new) > int(event.old) else ""


def starts(
    events: Sequence[Event],
    *,
    at: datetime,
    machine_of: Mapping[UUID, Sequence[Event]] | None = None,
    first: UUID | None = None,
    most: int = 3,
) -> list[Start]:
    """Return the phases of the newest replicas' starts, that of `first` and then the newest first.

    `events` are newest first; `at` closes a phase that is not over. `machine_of` has what happened
    to each workload's machine, oldest first.
    """
    by_replica: dict[UUID, list[Event]] = {}
    machines_at: dict[tuple[datetime, str], Sequence[Event]] = {}
    for event in events:
        if event.state_machine == "replica":
            by_replica.setdefault(event.object_id, []).append(event)
        elif event.state_machine == machines.WORKLOAD.name and machine_of:
            # A workload is made at the moment in which its replica gets a place.
            number = event.label.rpartition("-")[2]
            machines_at[event.at, number] = machine_of.get(event.object_id, ())
    # What happened last may be the end of one that began long before.
    by_begin = sorted(by_replica.items(), key=lambda each: each[1][-1].at, reverse=True)
    by_begin.sort(key=lambda each: each[0] != first)
    found = [_start(list(reversed(its)), machines_at, at) for _, its in by_begin]
    return [start for start in found if start is not None][:most]


Mark = tuple[tuple[str, str] | None, datetime]


def _start(
    events: Sequence[Event],
    machines_at: Mapping[tuple[datetime, str], Sequence[Event]],
    at: datetime,
) -> Start | None:
    """`events` are one replica's, oldest first; those after it was ready do not count."""
    marks: list[Mark] = []
    for event, following in zip_longest(events, events[1:]):
        if marks and event.new not in PHASES:
            marks.append((None, event.at))
            break
        happened = machines_at.get((event.at, event.label.rpartition(" ")[2]), ())
        made = _made(happened, event.at, following.at if following else at)
        marks += made or [(PHASES.get(event.new), event.at)]
    if not marks or marks[0][0] is None:
        return None
    is_open = marks[-1][0] is not None
    if is_open:
        marks.append((None, max(at, marks[-1][1])))
    ready = any(event.new == states.RUNNING for event in events)
    total = marks[-1][1] - marks[0][1]
    return Start(events[0].label, total, _phases(marks, is_open=is_open), ready)


def _made(happened: Sequence[Event], begin: datetime, end: datetime) -> list[Mark]:
    """Return the parts of a machine that was made for the replica; none of one that was there."""
    if not happened or happened[0].at != begin or happened[0].new != machines.REQUESTED:
        return []
    known = [event for event in happened if event.new in OF_MACHINES]
    return [(OF_MACHINES[each.new], each.at) for each in known if begin <= each.at < end]


def _phases(marks: Sequence[Mark], *, is_open: bool) -> list[Phase]:
    began = marks[0][1]
    whole = max((marks[-1][1] - began).total_seconds(), 0.001)
    phases = []
    for (named, begin), (following, end) in pairwise(marks):
        key, title = named or ("", "")
        left = round((begin - began).total_seconds() / whole * 1000)
        right = round((end - began).total_seconds() / whole * 1000)
        going_on = is_open and following is None
        phases.append(Phase(key, title, end - begin, left, max(right - left, 4), going_on))
    return phases


@dataclass(frozen=True)
class Starting:
    """What a service that is not ready waits for, since when, and how long it still may.

    `replica` is the one that is the furthest; its lines are shown with it."""

    sentence: str
    since: datetime | None
    left: timedelta | None
    replica: Replica


def starting(run: Run, rows: Sequence[ReplicaRow], *, at: datetime) -> Starting | None:
    """Return how a service starts of which no replica is ready; None where nothing starts."""
    live = [row for row in rows if not row.replica.is_final]
    if run.is_final or run.state == states.STOPPING or not live:
        return None
    if any(row.replica.state in SERVED for row in live):
        return None
    row = max(live, key=lambda each: (list(PHASES).index(each.replica.state), each.replica.pk))
    deadline = row.replica.deadline_at
    left = deadline - at if deadline is not None and deadline > at else None
    said = row.where.phase or PHASES[row.replica.state][1]
    sentence = f"Replica {row.replica.num}: {said}"
    return Starting(sentence, row.where.since, left, row.replica)


def failure_to_show(run: Run, replicas: Sequence[Replica]) -> Replica | None:
    """Return the replica whose end is why the run does not serve, None where it does, or where a
    person or a schedule wants none."""
    wanted = run.state == states.FAILED or not run.is_final and run.desired_now > 0
    if not wanted or run.state == states.STOPPING:
        return None
    if any(replica.state == states.RUNNING for replica in replicas):
        return None
    failed = [replica for replica in replicas if replica.state == states.FAILED]
    return max(failed, key=lambda replica: replica.pk, default=None)


def why(run: Run, replicas: Sequence[Replica]) -> str:
    """Say in one sentence what is wrong with a run, "" when nothing is."""
    if run.state == states.FAILED:
        return run.error or "It failed."
    failed = failure_to_show(run, replicas)
    if failed is None:
        return ""
    return f"The last try failed: {failed.message}" if failed.message else "The last try failed."
