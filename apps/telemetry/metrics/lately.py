"""What was asked of a project's services lately, for the list of them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, Max, Q, QuerySet, Sum
from django.utils import timezone

from apps.accounts.models import Project
from apps.runs import queries as runs
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.pages.load import Figures, Load
from apps.telemetry.metrics import series
from apps.telemetry.models import Traffic
from apps.telemetry.traffic.ingest import BUCKET_SECONDS


def loads(project: Project) -> dict[UUID, Load]:
    """Return what was asked of each run that failed requests, or let some wait."""
    rows = _since(project, timedelta(minutes=series.OUTCOME_MINUTES))
    sums = rows.values("run_id").annotate(
        answers=Sum(F("by_class__1") + F("by_class__2") + F("by_class__3") + F("by_class__4")),
        errors=Sum(F("by_class__4")),
        waited=Max("held_max"),
    )
    bad = list(sums.filter(Q(errors__gt=0) | Q(waited__gt=0)))
    held = _held(rows, [row["run_id"] for row in bad if row["waited"]])
    return {
        row["run_id"]: Load(
            minutes=series.OUTCOME_MINUTES,
            calls=row["answers"] or 0,
            errors=row["errors"] or 0,
            held_most=held[row["run_id"]],
        )
        for row in bad
    }


def _held(rows: QuerySet[Traffic], run_ids: list[UUID]) -> dict[UUID, int]:
    """How many requests waited at once since the newest replica is ready: what waited for one to
    start has waited for no room."""
    live = Replica.objects.filter(run_id__in=run_ids).exclude(state__in=states.REPLICA.final)
    grown: dict[UUID, datetime | None] = dict(
        live.values_list("run_id").annotate(at=Max("ready_at"))
    )
    found: dict[UUID, int] = defaultdict(int)
    waited = rows.filter(run_id__in=run_ids, held_max__gt=0)
    for run_id, at, held in waited.values_list("run_id", "at", "held_max"):
        ready_at = grown.get(run_id)
        if ready_at is not None and at >= ready_at:
            found[run_id] = max(found[run_id], held)
    return found


def figures(project: Project) -> dict[UUID, Figures]:
    """Return what each run does now that was asked something in the last half hour."""
    rows = _since(project, timedelta(minutes=series.SPARK_MINUTES))
    ids = set(rows.values_list("run_id", flat=True).distinct())
    found = series.figures_of_last_minute(run_ids=ids, at=timezone.now())
    return {pk: Figures(each.rps, each.p95_ms, each.errors_percent) for pk, each in found.items()}


def _since(project: Project, length: timedelta) -> QuerySet[Traffic]:
    now = timezone.now()
    live: QuerySet[Run] = runs.runs_of(project).filter(state__in=states.RUN.unfinished)
    ids = live.order_by().values("pk")
    # Of this age none is rolled up yet.
    return Traffic.objects.filter(
        seconds=BUCKET_SECONDS, at__gte=now - length, at__lte=now, run_id__in=ids
    )
