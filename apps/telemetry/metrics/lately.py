"""What was asked of a project's services lately, for the list of them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import F, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.utils import timezone

from apps.accounts.models import Project
from apps.runs import queries as runs
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.pages.load import Figures, Load
from apps.telemetry.metrics import series
from apps.telemetry.models import RequestTotal, Traffic
from apps.telemetry.traffic.ingest import BUCKET_SECONDS


def loads(project: Project) -> dict[UUID, Load]:
    """Return what was asked of each run that failed requests, or let some wait."""
    length = timedelta(minutes=series.OUTCOME_MINUTES)
    # Of most runs nothing bad is told, and their traffic is most of it.
    bad = RequestTotal.objects.filter(bad_at__gte=timezone.now() - length)
    rows = _since(project, length).filter(run_id__in=bad.values("run_id"))
    sums = rows.values("run_id").annotate(
        answers=Sum(F("by_class__1") + F("by_class__2") + F("by_class__3") + F("by_class__4")),
        errors=Sum(F("by_class__4")),
        waited=Max("held_max"),
        held=Max("held_max", filter=Q(held_max__gt=0, at__gte=_grown_at())),
    )
    return {
        row["run_id"]: Load(
            minutes=series.OUTCOME_MINUTES,
            calls=row["answers"] or 0,
            errors=row["errors"] or 0,
            held_most=row["held"] or 0,
        )
        for row in sums.filter(Q(errors__gt=0) | Q(waited__gt=0))
    }


def _grown_at() -> Subquery:
    """When a run's newest replica became ready: what waited for one to start has waited for no
    room."""
    live = Replica.objects.filter(run=OuterRef("run_id")).exclude(state__in=states.REPLICA.final)
    newest = live.order_by().values("run").annotate(at=Max("ready_at"))
    return Subquery(newest.values("at"))


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
