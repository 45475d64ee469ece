"""What replicas use of their hosts: taking samples in, making old ones coarser, reading them.

A bucket of 10 s has one sample; one that comes twice replaces itself, so a batch may be sent again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from apps.agent import wire
from apps.instances.models import Workload
from apps.runs.models import Run
from apps.telemetry.models import Usage
from apps.telemetry.traffic.ingest import BUCKET_SECONDS, OLDEST_LOOK, bucket_of

BATCH = 2000
# What a column holds; a value beyond it is a mistake of the agent's.
MOST = 2**60
SUMS = ("samples", "cpu_cores_sum", "gpu_percent_sum")
MAXIMA = (
    *("cpu_cores_max", "cpu_limit", "memory_bytes_max", "memory_limit_bytes"),
    *("disk_bytes_max", "gpu_percent_max", "gpu_memory_bytes_max", "gpu_memory_total_bytes"),
)
VALUES = (*SUMS, *MAXIMA)
KEY = ("run_id", "replica_num", "seconds", "at")


def take(*, instance_id: UUID, batch: wire.UsageBatch, at: datetime) -> int:
    """Store samples of the instance's own workloads; others are forgotten.

    Return how many were stored.
    """
    own = Workload.objects.filter(instance_id=instance_id, replica__isnull=False)
    places = {
        str(pk): (run, num or 0) for pk, run, num in own.values_list("pk", "run_id", "replica__num")
    }
    rows = {}
    for sample in batch.samples:
        if sample.id in places and _is_sane(sample):
            row = _row(sample, *places[sample.id], at=at)
            rows[(row.run_id, row.replica_num, row.at)] = row
    Usage.objects.bulk_create(
        rows.values(),
        update_conflicts=True,
        unique_fields=list(KEY),
        update_fields=list(VALUES),
    )
    return len(rows)


def _is_sane(sample: wire.UsageSample) -> bool:
    numbers = [
        *(sample.at, sample.cpu_cores, sample.memory_bytes, sample.cpu_limit, sample.disk_bytes),
        *(sample.memory_limit_bytes, sample.gpu_percent, sample.gpu_memory_bytes),
        *(sample.gpu_memory_total_bytes, sample.gpu_percent_max),
    ]
    return all(n is None or (math.isfinite(n) and 0 <= n < MOST) for n in numbers)


def _row(sample: wire.UsageSample, run_id: UUID, num: int, *, at: datetime) -> Usage:
    oldest = (at - OLDEST_LOOK).timestamp()
    taken_at = datetime.fromtimestamp(min(max(sample.at, oldest), at.timestamp()), UTC)
    return Usage(
        run_id=run_id,
        replica_num=num,
        seconds=BUCKET_SECONDS,
        at=bucket_of(taken_at, BUCKET_SECONDS),
        cpu_cores_sum=sample.cpu_cores,
        cpu_cores_max=sample.cpu_cores,
        cpu_limit=sample.cpu_limit,
        memory_bytes_max=sample.memory_bytes,
        memory_limit_bytes=sample.memory_limit_bytes,
        disk_bytes_max=sample.disk_bytes,
        gpu_percent_sum=sample.gpu_percent,
        gpu_percent_max=sample.gpu_percent_max,
        gpu_memory_bytes_max=sample.gpu_memory_bytes,
        gpu_memory_total_bytes=sample.gpu_memory_total_bytes,
    )


TABLE = Usage._meta.db_table
# One statement, so that nothing is lost or counted twice wherever it is cut off.
FOLD = f"""
WITH gone AS (
  DELETE FROM {TABLE} WHERE id IN (
    SELECT id FROM {TABLE} WHERE seconds = %s AND at < %s
    ORDER BY at LIMIT {BATCH} FOR UPDATE SKIP LOCKED
  ) RETURNING *
), folded AS (
  INSERT INTO {TABLE} ({", ".join((*KEY, *VALUES))})
  SELECT run_id, replica_num, %s, date_bin(make_interval(secs => %s), at, timestamptz 'epoch'),
    {", ".join([f"sum({name})" for name in SUMS] + [f"max({name})" for name in MAXIMA])}
  FROM gone GROUP BY 1, 2, 4
  ON CONFLICT ({", ".join(KEY)}) DO UPDATE SET
    {
    ", ".join(
        [f"{n} = coalesce({TABLE}.{n}, 0) + coalesce(excluded.{n}, 0)" for n in SUMS[:2]]
        + [f"{SUMS[2]} = coalesce({TABLE}.{SUMS[2]} + excluded.{SUMS[2]}, excluded.{SUMS[2]})"]
        + [f"{n} = greatest({TABLE}.{n}, excluded.{n})" for n in MAXIMA]
    )
}
)
SELECT count(*) FROM gone
"""


def fold(*, fine: int, coarse: int, before: datetime) -> int:
    """Add buckets of `fine` seconds up into `coarse` ones; returns how many."""
    folded: int = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(FOLD, [fine, bucket_of(before, coarse), coarse, coarse])
            count = int(cursor.fetchone()[0])
            folded += count
            if not count:
                return folded


def of_replicas(*, run: Run, begin: datetime, end: datetime, step: int) -> list[dict[str, Any]]:
    """Return what each of a run's replicas used, in points of `step` seconds.

    Points without a sample are None; replicas without any are left out.
    """
    rows = Usage.objects.filter(run_id=run.pk, at__gte=begin, at__lt=end).order_by("replica_num")
    by_replica: dict[int, dict[datetime, list[Usage]]] = {}
    for row in rows:
        steps = by_replica.setdefault(row.replica_num, {})
        steps.setdefault(bucket_of(row.at, step), []).append(row)
    count = math.ceil((end - begin).total_seconds() / step)
    times = [begin + timedelta(seconds=step * n) for n in range(count)]
    return [
        {"replica": num, "points": [_point(steps[at]) if at in steps else None for at in times]}
        for num, steps in by_replica.items()
    ]


@dataclass(frozen=True)
class Newest:
    """What a replica uses now; None is not known."""

    run_id: UUID
    replica_num: int
    cpu_cores: float
    memory_bytes: int
    disk_bytes: int | None
    gpu_percent: float | None
    gpu_memory_bytes: int | None


def newest(*, runs: QuerySet[Run], at: datetime) -> list[Newest]:
    """Return the last sample of each replica in the last minute."""
    rows = Usage.objects.filter(
        run_id__in=runs.values("pk"), seconds=BUCKET_SECONDS, at__gte=at - timedelta(minutes=1)
    )
    last = rows.order_by("run_id", "replica_num", "-at").distinct("run_id", "replica_num")
    columns = (
        *("run_id", "replica_num", "samples", "cpu_cores_sum", "memory_bytes_max"),
        *("disk_bytes_max", "gpu_percent_sum", "gpu_memory_bytes_max"),
    )
    return [
        Newest(pk, num, cpu / samples, memory, disk, gpu and gpu / samples, gpu_memory)
        for pk, num, samples, cpu, memory, disk, gpu, gpu_memory in last.values_list(*columns)
    ]


def _point(rows: Sequence[Usage]) -> dict[str, Any]:
    samples = sum(row.samples for row in rows)
    loads = [row.gpu_percent_sum for row in rows if row.gpu_percent_sum is not None]
    return {
        "cpu_cores": round(sum(row.cpu_cores_sum for row in rows) / samples, 4),
        "cpu_cores_max": round(max(row.cpu_cores_max for row in rows), 4),
        "cpu_limit": _most(row.cpu_limit for row in rows),
        "memory_bytes": _most(row.memory_bytes_max for row in rows),
        "memory_limit_bytes": _most(row.memory_limit_bytes for row in rows),
        "disk_bytes": _most(row.disk_bytes_max for row in rows),
        "gpu_percent": round(sum(loads) / samples, 1) if loads else None,
        "gpu_memory_bytes": _most(row.gpu_memory_bytes_max for row in rows),
        "gpu_memory_total_bytes": _most(row.gpu_memory_total_bytes for row in rows),
    }


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
