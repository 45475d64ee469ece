"""How many replicas a run should have and had ready, over time: a row at each change.

Worked out of the events, which carry the times at which things happened: how busy the workers were
meanwhile changes nothing. Where events are forgotten, or before the run existed, there is no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import F, Q

from apps.core.models import Event
from apps.core.retention import history_begins
from apps.runs import schedule, states
from apps.runs.models import Run
from apps.runs.scale.desired_replicas import SCALING

# A schedule that switches more often in the time of one chart would be a grey bar.
MOST_SWITCHES = 500


@dataclass(frozen=True)
class Level:
    """What holds from `at` on; nothing is desired while a schedule has the run off."""

    at: datetime
    asked: int
    ready: int
    is_on: bool = True

    @property
    def desired(self) -> int:
        return self.asked if self.is_on else 0


@dataclass(frozen=True)
class Change:
    """What one event or one switch of the schedule changed; None is "as before"."""

    at: datetime
    ready: int = 0
    asked: int | None = None
    is_on: bool | None = None


def of(*, run: Run, begin: datetime, end: datetime) -> list[Level]:
    """Return the levels between two times: one at the begin, one at each change, one at the end."""
    begin = max(begin, run.created_at, history_begins(end))
    last = min(end, run.finished_at or end)
    if begin > last:
        return []
    table = schedule.of(run.spec, since=run.created_at)
    level, changes = _from_events(run, begin)
    level = replace(level, is_on=table is None or table.is_on(begin))
    changes += _switches(table, begin, last)
    found = [level, *_folded(level, sorted(changes, key=lambda each: each.at))]
    found = [found[0], *(each for each in found[1:] if each.at < last)]
    if run.finished_at is not None and run.finished_at <= end:
        found.append(Level(last, 0, 0))
    return [*found, replace(found[-1], at=end)]


def _from_events(run: Run, begin: datetime) -> tuple[Level, list[Change]]:
    """The level at the begin, and what changed since."""
    # Read before the events: what changes in between is told by its event.
    before = run.replicas.filter(state=states.RUNNING, state_at__lte=begin)
    steady = set(before.values_list("pk", flat=True))
    events = _events(run, begin=begin)
    first: dict[UUID, Event] = {}
    for event in events:
        first.setdefault(event.object_id, event)
    ready = len(steady - set(first)) + sum(e.old == states.RUNNING for e in first.values())
    asked = [int(event.old) for event in events if event.state_machine == SCALING]
    level = Level(begin, (asked or [run.desired_replicas])[0], ready)
    return level, [_change(event) for event in events]


def _events(run: Run, *, begin: datetime) -> list[Event]:
    got_or_lost = Q(state_machine=states.REPLICA.name) & (
        Q(new=states.RUNNING) | Q(old=states.RUNNING)
    )
    scaled = Q(state_machine=SCALING) & ~Q(old=F("new"))
    found = Event.objects.filter(got_or_lost | scaled, run_id=run.pk, at__gt=begin)
    return list(found.only("state_machine", "object_id", "old", "new", "at").order_by("at", "pk"))


def _change(event: Event) -> Change:
    if event.state_machine == SCALING:
        return Change(event.at, asked=int(event.new))
    return Change(event.at, ready=1 if event.new == states.RUNNING else -1)


def _switches(table: schedule.Timetable | None, begin: datetime, end: datetime) -> Iterator[Change]:
    at = table.changes_at(begin) if table else None
    for _ in range(MOST_SWITCHES):
        if table is None or at is None or at >= end:
            return
        yield Change(at, is_on=table.is_on(at))
        at = table.changes_at(at)


def _folded(level: Level, changes: Iterable[Change]) -> Iterator[Level]:
    for change in changes:
        level = Level(
            change.at,
            level.asked if change.asked is None else change.asked,
            level.ready + change.ready,
            level.is_on if change.is_on is None else change.is_on,
        )
        yield level
