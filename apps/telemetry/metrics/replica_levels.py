"""How many replicas a run should have and had ready, over time: a row at each change."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q

from apps.runs import schedule, states
from apps.runs.models import Run
from apps.telemetry.models import Level


def note(*, at: datetime) -> int:
    """Write what changed since the last look. Return the number of rows."""
    now = _now(at)
    last = Level.objects.filter(run_id__in=now).order_by("run_id", "-at", "-id").distinct("run_id")
    known = {level.run_id: (level.desired_replicas, level.ready) for level in last}
    changed = {pk: level for pk, level in now.items() if known.get(pk, (0, 0)) != level}
    Level.objects.bulk_create(
        [Level(run_id=pk, at=at, desired_replicas=w, ready=r) for pk, (w, r) in changed.items()]
    )
    return len(changed)


def _now(at: datetime) -> dict[UUID, tuple[int, int]]:
    ready = Count("replicas", filter=Q(replicas__state=states.RUNNING))
    runs = Run.objects.filter(state__in=states.RUN.unfinished).order_by()
    columns = ("pk", "desired_replicas", "spec__schedule", "created_at")
    rows = runs.values_list(*columns).annotate(ready=ready)
    return {
        pk: (desired if schedule.is_on(plan, since=since, at=at) else 0, count)
        for pk, desired, plan, since, count in rows
    }
