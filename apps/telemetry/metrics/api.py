"""A run's figures over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.runs import queries as runs
from apps.telemetry.metrics import series

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
