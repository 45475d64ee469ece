"""Making old figures coarser, and forgetting the oldest, in short transactions.

10 s buckets become minutes after six hours and ten minutes after two days; all go after
DSTACK_METRIC_DAYS. Two at once are harmless: rows are locked, those of another are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import QuerySet

from apps.runs.models import Run
from apps.telemetry.metrics import usage
from apps.telemetry.models import Counter, KeyUse, RequestTotal, Traffic, Usage
from apps.telemetry.traffic import histograms
from apps.telemetry.traffic.ingest import ADDED, bucket_of, summed

BATCH = 2000
# (from, to, after): looks older than an hour never come, so nothing is added to what is rolled up.
STEPS = (
    (10, 60, timedelta(hours=6)),
    (60, 600, timedelta(days=2)),
)
KEY_DAYS = 90


def roll_up(*, at: datetime) -> int:
    """Make old buckets coarser. Return how many were folded into others."""
    folded = 0
    for fine, coarse, age in STEPS:
        old = Traffic.objects.filter(seconds=fine, at__lt=bucket_of(at - age, coarse))
        while count := _fold(old, coarse):
            folded += count
        folded += usage.fold(fine=fine, coarse=coarse, before=at - age)
    return folded


def _fold(old: QuerySet[Traffic], coarse: int) -> int:
    with transaction.atomic():
        locked = old.select_for_update(skip_locked=True).order_by("at", "pk")
        rows = list(locked[:BATCH])
        groups: dict[tuple[Any, datetime], list[Traffic]] = {}
        for row in rows:
            groups.setdefault((row.run_id, bucket_of(row.at, coarse)), []).append(row)
        known = _known(groups, coarse)
        sums = [
            merged(known.get(key) or _empty(key, coarse), parts) for key, parts in groups.items()
        ]
        Traffic.objects.bulk_create([row for row in sums if row.pk is None])
        Traffic.objects.bulk_update([row for row in sums if row.pk is not None], list(ADDED))
        Traffic.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return len(rows)


def _empty(key: tuple[Any, datetime], seconds: int) -> Traffic:
    return Traffic(run_id=key[0], at=key[1], seconds=seconds)


def _known(
    keys: dict[tuple[Any, datetime], list[Traffic]], coarse: int
) -> dict[tuple[Any, datetime], Traffic]:
    runs, times = {run for run, _ in keys}, {at for _, at in keys}
    found = Traffic.objects.select_for_update().filter(seconds=coarse)
    found = found.filter(run_id__in=runs, at__in=times)
    return {(row.run_id, row.at): row for row in found}


def merged(into: Traffic, rows: Sequence[Traffic]) -> Traffic:
    """Add buckets to another; maxima stay maxima."""
    every = [into, *rows]
    for name in ("by_class", "latency", "first_byte"):
        setattr(into, name, summed(*(getattr(row, name) for row in every)))
    for name in ("total_us", "first_us"):
        setattr(into, name, histograms.added(*(getattr(row, name) for row in every)))
    for name in ("bytes_in", "bytes_out", "usages", "tokens_in", "tokens_out"):
        setattr(into, name, sum(getattr(row, name) for row in every))
    for name in ("in_flight_max", "held_max"):
        setattr(into, name, max(getattr(row, name) for row in every))
    return into


def prune(*, at: datetime) -> int:
    """Delete what is older than it is kept. Return the number of rows."""
    before = at - timedelta(days=settings.DSTACK_METRIC_DAYS)
    gone = _delete(Usage.objects.filter(at__lt=before))
    gone += _delete(Traffic.objects.filter(at__lt=before))
    gone += _delete(KeyUse.objects.filter(hour__lt=at - timedelta(days=KEY_DAYS)))
    # Long after the last look that could name them (see traffic.OLDEST_LOOK).
    over = Run.objects.filter(finished_at__lt=at - timedelta(days=1)).values("pk")
    gone += _delete(RequestTotal.objects.filter(run_id__in=over))
    return gone + _delete(Counter.objects.filter(run_id__in=over))


def _delete(rows: QuerySet[Any, Any]) -> int:
    model: type[models.Model] = rows.model
    gone = 0
    while ids := list(rows.values_list("pk", flat=True)[:BATCH]):
        gone += model._default_manager.filter(pk__in=ids).delete()[0]
    return gone
