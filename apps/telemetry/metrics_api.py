"""A run's figures over HTTP, and for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Sum
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.runs import queries as runs
from apps.runs.models import Run
from apps.telemetry import live_points, series, usage
from apps.telemetry.models import KeyUse

router = Router()


class Point(Schema):
    """One step. Latencies are None where nothing was answered, tokens where no answer said them;
    in_flight and held are the most.

    `seconds` is how much of the step was counted: less than all of it in the newest.
    """

    at: datetime
    seconds: float
    requests: dict[str, int]
    rps: float
    in_flight: int
    held: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    first_byte_p50_ms: float | None
    first_byte_p95_ms: float | None
    tokens_in: int | None
    tokens_out: int | None
    bytes_in: int
    bytes_out: int


class Replicas(Schema):
    at: datetime
    wanted: int
    ready: int


class ResourcePoint(Schema):
    """What a replica used: mean and most processor cores, the most of the others; None is not
    known, or that there is no limit."""

    cpu_cores: float
    cpu_cores_max: float
    cpu_limit: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    disk_bytes: int | None
    gpu_percent: float | None
    gpu_memory_bytes: int | None
    gpu_memory_total_bytes: int | None


class Resources(Schema):
    """`points` has one for each of the run's points, None where the replica was not measured."""

    replica: int
    points: list[ResourcePoint | None]


class MetricsOut(Schema):
    """`points` are evenly spaced and oldest first; `replicas` has a row at each change."""

    begin: datetime
    end: datetime
    step_seconds: int
    points: list[Point]
    replicas: list[Replicas] = Field(default_factory=list)
    resources: list[Resources] = Field(default_factory=list)


@router.get(
    "/projects/{project}/runs/{name}/metrics",
    response=MetricsOut,
    summary="Requests and resources of a run",
)
def metrics(
    request: HttpRequest,
    project: str,
    name: str,
    range: str = "1h",
    points: Annotated[int, Query(ge=1, le=series.MOST_POINTS)] = series.MOST_POINTS,
) -> dict[str, Any]:
    """The newest run of that name over the last `range`: 15m, 1h, 6h, 24h, 7d, or any time.

    There are `points` points at most, and one that is not over yet.
    """
    length = series.read_range(range)
    run = runs.find_run(accounts.of(request).project(project), name)
    return series.requests_of(run=run, length=length, at=timezone.now(), most_points=points)


def prometheus(*, at: datetime) -> Iterator[str]:
    """This function will yield lines of what is asked of each active service now, and of what was
    asked in the last full hours."""
    active = Run.objects.filter(state__in=runs.ACTIVE_RUNS).select_related("project")
    found = {run.pk: run for run in active}
    points = live_points.of({pk: run.gateway_id for pk, run in found.items()}, at=at.timestamp())
    newest = {pk: its[-1] for pk, its in points.items() if its}
    labels = {pk: f'project="{run.project.name}",run="{run.name}"' for pk, run in found.items()}
    for name, help_text, values in (
        ("in_flight", "Requests in flight.", {pk: p.in_flight for pk, p in newest.items()}),
        ("held", "Requests waiting for a replica.", {pk: p.held for pk, p in newest.items()}),
        ("wanted", "Wanted replicas.", {pk: r.wanted_now for pk, r in found.items()}),
    ):
        yield f"# HELP dstack_service_{name} {help_text}"
        yield f"# TYPE dstack_service_{name} gauge"
        yield from (f"dstack_service_{name}{{{labels[pk]}}} {n}" for pk, n in values.items())
    yield from _resources(found, at=at)
    yield "# HELP dstack_service_requests_total Answered requests, those of pruned hours left out."
    yield "# TYPE dstack_service_requests_total counter"
    totals = KeyUse.objects.filter(run_id__in=found).order_by().values_list("run_id")
    for pk, count in totals.annotate(Sum("requests")):
        yield f"dstack_service_requests_total{{{labels[pk]}}} {count}"


def _resources(runs_by_id: Mapping[UUID, Run], *, at: datetime) -> Iterator[str]:
    rows = usage.newest(run_ids=runs_by_id, at=at)
    for name, column, help_text in (
        ("cpu_cores", "cpu_cores_sum", "Processor cores in use."),
        ("memory_bytes", "memory_bytes_max", "Memory in use."),
        ("disk_bytes", "disk_bytes_max", "Disk in use."),
        ("gpu_percent", "gpu_percent_sum", "Load of its GPUs."),
        ("gpu_memory_bytes", "gpu_memory_bytes_max", "Memory in use on its GPUs."),
    ):
        yield f"# HELP dstack_replica_{name} {help_text}"
        yield f"# TYPE dstack_replica_{name} gauge"
        for row in rows:
            run, value = runs_by_id[row.run_id], getattr(row, column)
            if value is not None:
                labels = (
                    f'project="{run.project.name}",run="{run.name}",replica="{row.replica_num}"'
                )
                yield f"dstack_replica_{name}{{{labels}}} {value}"
