"""The services' figures for Prometheus: a fixed number of queries, of columns only.

Figures that say nothing are left out: requests under way of a service that has no replicas, times
of one that nobody asked in the last minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from apps.runs import queries as runs
from apps.runs import schedule
from apps.runs.models import Run
from apps.telemetry.metrics import usage
from apps.telemetry.models import RequestTotal, Traffic
from apps.telemetry.traffic import histograms, live_points
from apps.telemetry.traffic.ingest import BUCKET_SECONDS

RECENT = timedelta(minutes=1)
ROWS_AT_ONCE = 20_000
QUANTILES = (0.5, 0.95, 0.99)
RESOURCES = (
    ("cpu_cores", "Processor cores in use."),
    ("memory_bytes", "Memory in use."),
    ("disk_bytes", "Disk in use."),
    ("gpu_percent", "Load of its GPUs."),
    ("gpu_memory_bytes", "Memory in use on its GPUs."),
)

# Of a row, its labels as they are written, and the value.
Rows = Iterable[tuple[str, float]]


@dataclass(frozen=True)
class Service:
    labels: str
    gateway_id: int | None
    desired: int


def lines(*, at: datetime) -> Iterator[str]:
    """Yield what is asked of each active service now, and what it was asked since it was made."""
    active = Run.objects.filter(state__in=runs.ACTIVE_RUNS).order_by()
    services = dict(_services(active, at))
    yield from _load(services, at=at)
    yield from _resources(services, active, at=at)
    yield from _times(services, active, at=at)
    yield from _family(
        "service_requests_total",
        "counter",
        "Answered requests.",
        _totals(services, active),
    )


def _family(name: str, kind: str, text: str, rows: Rows) -> Iterator[str]:
    yield f"# HELP dstack_{name} {text}"
    yield f"# TYPE dstack_{name} {kind}"
    yield from (f"dstack_{name}{{{labels}}} {value}" for labels, value in rows)


def _services(active: QuerySet[Run], at: datetime) -> Iterator[tuple[UUID, Service]]:
    # Few have a schedule, and to look for it in every specification is most of the work: once.
    scheduled = active.exclude(spec__schedule=None).values_list(
        "pk", "created_at", "spec__schedule"
    )
    off = {
        pk
        for pk, since, plan in scheduled.values_list("pk", "created_at", "spec__schedule")
        if not schedule.is_on(plan, since=since, at=at)
    }
    rows = active.values_list("pk", "project__name", "name", "gateway_id", "desired_replicas")
    for pk, project, name, gateway_id, desired in rows.iterator(chunk_size=ROWS_AT_ONCE):
        desired_now = 0 if pk in off else desired
        yield pk, Service(f'project="{project}",run="{name}"', gateway_id, desired_now)


def _load(services: Mapping[UUID, Service], *, at: datetime) -> Iterator[str]:
    gateways = {each.gateway_id for each in services.values() if each.gateway_id is not None}
    now = live_points.now(gateway_ids=gateways, at=at.timestamp())
    known = [
        (service.labels, now[service.gateway_id].get(pk, live_points.NOTHING))
        for pk, service in services.items()
        if service.gateway_id in now and (service.desired or pk in now[service.gateway_id])
    ]
    desired = ((service.labels, service.desired) for service in services.values())
    for name, text, rows in (
        ("in_flight", "Requests in flight.", ((labels, load[0]) for labels, load in known)),
        ("held", "Requests waiting for a replica.", ((labels, load[1]) for labels, load in known)),
        ("wanted", "Wanted replicas.", desired),
    ):
        yield from _family(f"service_{name}", "gauge", text, rows)


def _resources(
    services: Mapping[UUID, Service], active: QuerySet[Run], *, at: datetime
) -> Iterator[str]:
    rows = [
        (f'{services[row.run_id].labels},replica="{row.replica_num}"', row)
        for row in usage.newest(runs=active, at=at)
        if row.run_id in services
    ]
    for name, text in RESOURCES:
        values = ((labels, getattr(row, name)) for labels, row in rows)
        known = ((labels, value) for labels, value in values if value is not None)
        yield from _family(f"replica_{name}", "gauge", text, known)


def _times(
    services: Mapping[UUID, Service], active: QuerySet[Run], *, at: datetime
) -> Iterator[str]:
    """Quantiles over the last minute, as the service's page says them."""
    asked = Traffic.objects.filter(
        run_id__in=active.values("pk"), seconds=BUCKET_SECONDS, at__gte=at - RECENT, at__lte=at
    )
    columns = ("run_id", "total_us", "latency", "first_us", "first_byte")
    by_run: dict[UUID, list[Any]] = {}
    rows_of_all = asked.values_list(*columns).iterator(chunk_size=ROWS_AT_ONCE)
    for pk, *kept in rows_of_all:
        by_run.setdefault(pk, []).append(kept)
    for name, text, place in (
        ("duration", "Time to the last byte of an answer, in the last minute.", 0),
        ("first_byte", "Time to the first byte of an answer, in the last minute.", 2),
    ):
        rows = (
            row
            for pk, kept in by_run.items()
            if pk in services
            for row in _quantiles(services[pk].labels, kept, place)
        )
        yield from _family(f"service_{name}_seconds", "summary", text, rows)


def _quantiles(labels: str, kept: list[Any], place: int) -> Iterator[tuple[str, float]]:
    whole = histograms.whole((row[place] for row in kept), (row[place + 1] for row in kept))
    for share, ms in zip(QUANTILES, histograms.percentiles(whole, QUANTILES), strict=True):
        if ms is not None:
            yield f'{labels},quantile="{share}"', float(f"{ms / 1000:.4g}")


def _totals(services: Mapping[UUID, Service], active: QuerySet[Run]) -> Iterator[tuple[str, float]]:
    totals = RequestTotal.objects.filter(run_id__in=active.values("pk"))
    rows = totals.values_list("run_id", "requests").iterator(chunk_size=ROWS_AT_ONCE)
    return ((services[pk].labels, count) for pk, count in rows if pk in services)
