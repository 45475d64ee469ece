"""When a service with `schedule` runs. Pure.

The latest of its starts and stops says whether it is on. Without `stop` it is on for good from its
first start after it was submitted, as in the leader.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Timetable:
    """Cron expressions of starts and stops in the zone's time; `since` is when it was submitted."""

    starts: Sequence[str]
    stops: Sequence[str]
    zone: str
    since: datetime

    def is_on(self, at: datetime) -> bool:
        """Tell whether the service runs at `at`."""
        started = self.started_at(at)
        if started is None:
            return False
        if not self.stops:
            return started >= self.since
        stopped = self._last(self.stops, at)
        return stopped is None or started >= stopped

    def started_at(self, at: datetime) -> datetime | None:
        """Return the last start at or before `at`."""
        return self._last(self.starts, at)

    def changes_at(self, at: datetime) -> datetime | None:
        """Return when it is next switched on or off after `at`, if ever."""
        return self._next(self.stops if self.is_on(at) else self.starts, at)

    def _last(self, expressions: Sequence[str], at: datetime) -> datetime | None:
        # The walk goes back from its begin, which is left out.
        begin = at.replace(second=0, microsecond=0) + MINUTE
        return max(self._walk(expressions, begin, back=True), default=None)

    def _next(self, expressions: Sequence[str], at: datetime) -> datetime | None:
        return min(self._walk(expressions, at), default=None)

    def _walk(
        self, expressions: Sequence[str], begin: datetime, *, back: bool = False
    ) -> list[datetime]:
        """The first time of each expression; one that names no day that exists has none."""
        found = []
        local = begin.astimezone(ZoneInfo(self.zone))
        for expression in expressions:
            try:
                found.append(next(CronSim(expression, local, reverse=back)).astimezone(UTC))
            except (CronSimError, StopIteration):
                continue
        return found


def of(spec: Mapping[str, Any], *, since: datetime) -> Timetable | None:
    """Read `schedule` of a stored spec; None is "always"."""
    said = spec.get("schedule")
    if not said:
        return None
    return Timetable(said["cron"], said.get("stop") or (), said.get("timezone") or "UTC", since)


def is_on(schedule: Mapping[str, Any] | None, *, since: datetime, at: datetime) -> bool:
    """Tell whether a run with that `schedule` in its spec runs at `at`."""
    table = of({"schedule": schedule}, since=since)
    return table is None or table.is_on(at)


def words(table: Timetable | None, *, at: datetime) -> str:
    """Say when a service that is off starts, or one that is on stops."""
    if table is None:
        return ""
    change = table.changes_at(at)
    when = "" if change is None else f"{change.astimezone(ZoneInfo(table.zone)):%a %d %b %H:%M}"
    if table.is_on(at):
        return f"on until {when} ({table.zone})" if when else ""
    return f"off until {when} ({table.zone})" if when else "off: its schedule names no time to come"
