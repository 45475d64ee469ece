"""P21: how long the list of services takes with 10,000 of them.

    pytest tests/bench/list_p21.py -s

A private PostgreSQL without fsync on the same cores. Two states: nobody asks anything; and every
tenth service was asked for a quarter of an hour, a hundredth of those with requests that failed.
The part that a browser fetches anew at each change is asked for through Django, without a web
server before it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.runs.models import Run
from apps.telemetry.models import RequestTotal, Traffic
from apps.telemetry.traffic.ingest import BUCKET_SECONDS, bucket_of
from tests import factories
from tests import people as peoples
from tests.bench import many_runs
from tests.people import People, signed_in

SERVICES, ROUNDS, EACH_BUSY, EACH_FAILING = 10_000, 7, 10, 100
BUCKETS = 15 * 60 // BUCKET_SECONDS
MOST_SECONDS = 0.3


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_p21() -> None:
    people = peoples.make()
    gateway = factories.gateway(people.project)
    ids = fill(factories.run(people.project, gateway_id=gateway.pk, name="bench"))
    print()
    report(people, "nothing is asked")
    ask(ids[::EACH_BUSY])
    report(people, "every tenth is asked")


def fill(first: Run) -> list[UUID]:
    ids = many_runs.like(first, count=SERVICES)
    many_runs.analyze()
    return ids


def ask(ids: Iterable[UUID]) -> None:
    busy, now = list(ids), timezone.now()
    times = [number for index in range(60, 90) for number in (index, 3)]
    for age in range(BUCKETS):
        begin = bucket_of(now - timedelta(seconds=age * BUCKET_SECONDS), BUCKET_SECONDS)
        Traffic.objects.bulk_create(
            (
                Traffic(
                    run_id=pk,
                    seconds=BUCKET_SECONDS,
                    at=begin,
                    by_class=[0, 90, 0, 0, int(number % EACH_FAILING == 0)],
                    total_us=times,
                    first_us=times,
                )
                for number, pk in enumerate(busy)
            ),
            batch_size=2000,
        )
    failing = (RequestTotal(run_id=pk, bad_at=now) for pk in busy[::EACH_FAILING])
    RequestTotal.objects.bulk_create(failing)
    many_runs.analyze()


def report(people: People, what: str) -> None:
    client, took = signed_in(people.bob, htmx="services"), []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with CaptureQueriesContext(connection) as asked:
            assert client.get("/projects/main/services/").status_code == 200
        took.append(time.perf_counter() - began)
    middle, longest = statistics.median(took), max(took)
    slow = max(asked.captured_queries, key=lambda each: float(each["time"]))
    print(f"P21  list, {what:22s} {middle:6.3f} s, longest {longest:.3f} s", end="")
    print(f"    (at most {MOST_SECONDS:g} s)")
    print(f"P21  {len(asked)} queries, of them the slowest {slow['time']} s: {slow['sql'][:60]}")
