"""P19: how long the server's `/metrics` takes with 10,000 services.

    pytest tests/bench/metrics_p19.py -s

A private PostgreSQL without fsync and a private Valkey on the same cores. Two states: services that
nobody asks anything, each with a running replica and a day of traffic behind it; and the same where
every tenth is being asked, and its replica measured. The page is asked for through Django, without
a web server before it.
"""

from __future__ import annotations

import gzip
import os
import statistics
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from apps.runs.models import Run
from apps.telemetry.models import KeyUse, RequestTotal, Traffic, Usage
from apps.telemetry.traffic import live_points
from apps.telemetry.traffic.ingest import bucket_of
from apps.telemetry.traffic.points import Point
from tests import factories
from tests.bench import many_runs
from tests.people import scraper

SERVICES, ROUNDS, HOURS, EACH_BUSY = 10_000, 7, 24, 10
MOST_SECONDS = 0.3


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_p19(redis_url: str) -> None:
    project = factories.project()
    gateway = factories.gateway(project)
    ids = fill(factories.run(project, gateway_id=gateway.pk, name="bench"))
    print()
    live_points.add(gateway_id=gateway.pk, look=look(), points={})
    report("nothing is asked")
    ask(ids[::EACH_BUSY], gateway_id=gateway.pk)
    report("every tenth is asked")


def fill(first: Run) -> list[UUID]:
    ids = many_runs.like(first, count=SERVICES)
    RequestTotal.objects.bulk_create(RequestTotal(run_id=pk, requests=60 * HOURS) for pk in ids)
    hour = bucket_of(timezone.now(), 3600)
    for age in range(HOURS):
        KeyUse.objects.bulk_create(
            KeyUse(run_id=pk, token_id=1, hour=hour - timedelta(hours=age), requests=60)
            for pk in ids
        )
    many_runs.analyze()
    return ids


def look() -> Point:
    return Point(at=timezone.now().timestamp(), seconds=1.0)


def ask(ids: Iterable[UUID], *, gateway_id: int) -> None:
    busy, now = list(ids), timezone.now()
    at = look()
    live_points.add(
        gateway_id=gateway_id,
        look=at,
        points={pk: Point(at.at, 1.0, answered=9, in_flight=2) for pk in busy},
    )
    times = [number for index in range(60, 90) for number in (index, 3)]
    for age in range(0, 60, 10):
        begin = bucket_of(now - timedelta(seconds=age), 10)
        Traffic.objects.bulk_create(
            Traffic(
                run_id=pk,
                seconds=10,
                at=begin,
                by_class=[0, 90, 0, 0, 0],
                total_us=times,
                first_us=times,
            )
            for pk in busy
        )
        Usage.objects.bulk_create(
            Usage(
                run_id=pk,
                replica_num=0,
                seconds=10,
                at=begin,
                cpu_cores_sum=0.5,
                cpu_cores_max=0.5,
                memory_bytes_max=2**28,
            )
            for pk in busy
        )


def cpu_seconds() -> float:
    """Of this process and of PostgreSQL's that works for it, whatever else the machine does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(what: str) -> None:
    client, took, worked, content = scraper(), [], [], b""
    for _ in range(ROUNDS):
        began, cpu = time.perf_counter(), cpu_seconds()
        content = client.get("/metrics", headers={"Accept-Encoding": "gzip"}).content
        took.append(time.perf_counter() - began)
        worked.append(cpu_seconds() - cpu)
    page = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    middle, longest = statistics.median(took), max(took)
    print(f"P19  /metrics, {what:22s} {middle:6.3f} s, longest {longest:.3f} s", end="")
    print(f"    (at most {MOST_SECONDS:g} s)")
    print(f"P19  of processors, {what:20s} {statistics.median(worked):6.3f} s")
    print(f"P19  its size, {what:22s} {len(page) / 1e6:6.2f} MB, sent {len(content) / 1e6:.2f} MB")
