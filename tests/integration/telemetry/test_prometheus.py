"""The server's page for Prometheus, read as Prometheus' own client reads it."""

from __future__ import annotations

import gzip
from bisect import bisect_left
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from apps.gateways.models import Gateway
from apps.runs.models import Run
from apps.telemetry.metrics import rollup
from apps.telemetry.models import KeyUse, RequestTotal, Traffic, Usage
from apps.telemetry.traffic import ingest, live_points
from apps.telemetry.traffic.ingest import bucket_of
from apps.telemetry.traffic.points import Point
from gateway import schema
from gateway.schema import LATENCY_BOUNDS_US
from tests import factories
from tests.people import People, scraper

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_url")]

# A time of 11 s, and one of 84 ms.
SLOW = [bisect_left(LATENCY_BOUNDS_US, 11_000_000), 8]
QUICK = [bisect_left(LATENCY_BOUNDS_US, 84_000), 92]


@pytest.fixture
def gateway(people: People) -> Gateway:
    return factories.gateway(people.project, name="local")


@pytest.fixture
def run(people: People, gateway: Gateway) -> Run:
    return factories.run(people.project, user=people.bob, name="hello", gateway=gateway)


def page() -> dict[str, dict[tuple[str, ...], float]]:
    """Of each family its values by label values, as the lines say them."""
    text = scraper().get("/metrics").content.decode()
    return {
        sample.name: {
            tuple(each.labels.values()): each.value
            for each in family.samples
            if each.name == sample.name
        }
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def look(gateway: Gateway, points: dict[UUID, tuple[int, int]], *, age: float = 0.5) -> None:
    at = timezone.now().timestamp() - age
    live_points.add(
        gateway_id=gateway.pk,
        look=Point(at, 1.0),
        points={pk: Point(at, 1.0, in_flight=a, held=b) for pk, (a, b) in points.items()},
    )


def asked(run: Run, *, age: float = 15, **kept: Any) -> None:
    at = bucket_of(timezone.now() - timedelta(seconds=age), 10)
    Traffic.objects.create(run_id=run.pk, seconds=10, at=at, **kept)


def test_shows_what_is_under_way_by_the_last_look(gateway: Gateway, run: Run) -> None:
    other = factories.run(run.project, name="other", gateway=gateway)
    asleep = factories.run(run.project, name="asleep", gateway=gateway, desired_replicas=0)
    waking = factories.run(run.project, name="waking", gateway=gateway, desired_replicas=0)
    look(gateway, {run.pk: (9, 9), other.pk: (1, 0), asleep.pk: (0, 3)}, age=2)
    look(gateway, {run.pk: (3, 2), waking.pk: (0, 5)})

    found = page()

    name = run.project.name
    in_flight, held = found["dstack_service_in_flight"], found["dstack_service_held"]
    assert in_flight == {(name, "hello"): 3, (name, "other"): 0, (name, "waking"): 0}
    assert held == {(name, "hello"): 2, (name, "other"): 0, (name, "waking"): 5}
    assert found["dstack_service_wanted"][name, "asleep"] == 0


def test_says_nothing_of_a_gateway_that_is_silent(gateway: Gateway, run: Run) -> None:
    look(gateway, {run.pk: (3, 2)}, age=live_points.KEPT_SECONDS + 1)

    found = page()

    assert "dstack_service_in_flight" not in found
    assert found["dstack_service_wanted"] == {(run.project.name, "hello"): 1}


def test_a_part_of_a_look_takes_nothing_from_the_other(gateway: Gateway, run: Run) -> None:
    other = factories.run(run.project, name="other", gateway=gateway)
    at = timezone.now().timestamp()
    for pk in (run.pk, other.pk):
        points = {pk: Point(at, 1.0, in_flight=4)}
        live_points.add(gateway_id=gateway.pk, look=Point(at, 1.0), points=points)

    assert set(page()["dstack_service_in_flight"].values()) == {4}


def test_a_schedule_counts(gateway: Gateway, run: Run) -> None:
    never = {"cron": ["0 0 1 1 *"], "stop": ["1 0 1 1 *"], "timezone": "UTC"}
    Run.objects.filter(pk=run.pk).update(spec={**run.spec, "schedule": never})

    assert page()["dstack_service_wanted"] == {(run.project.name, "hello"): 0}


def test_shows_times_of_the_last_minute(run: Run) -> None:
    asked(run, total_us=SLOW, first_us=QUICK)
    asked(run, age=25, total_us=QUICK, first_us=QUICK)
    asked(run, age=90, total_us=[0, 10**6])
    quiet = factories.run(run.project, name="quiet")
    asked(quiet)

    found = page()

    name = run.project.name
    duration = found["dstack_service_duration_seconds"]
    assert duration.keys() == {(name, "hello", share) for share in ("0.5", "0.95", "0.99")}
    assert duration[name, "hello", "0.5"] == pytest.approx(0.084, rel=0.1)
    assert duration[name, "hello", "0.99"] == pytest.approx(11, rel=0.1)
    first_byte = found["dstack_service_first_byte_seconds"]
    assert first_byte[name, "hello", "0.99"] == pytest.approx(0.084, rel=0.1)


def test_shows_what_replicas_use_as_means(run: Run) -> None:
    Usage.objects.create(
        run_id=run.pk,
        replica_num=0,
        seconds=10,
        at=bucket_of(timezone.now(), 10) - timedelta(seconds=10),
        samples=2,
        cpu_cores_sum=3.0,
        cpu_cores_max=2.0,
        memory_bytes_max=2**30,
    )

    found = page()

    assert found["dstack_replica_cpu_cores"] == {(run.project.name, "hello", "0"): 1.5}
    assert found["dstack_replica_memory_bytes"] == {(run.project.name, "hello", "0"): 2**30}
    assert "dstack_replica_gpu_percent" not in found


def test_counts_all_that_was_asked_and_never_less(gateway: Gateway, run: Run) -> None:
    over = factories.run(
        run.project, name="over", state="stopped", gateway=gateway, finished_at=timezone.now()
    )
    RequestTotal.objects.create(run_id=over.pk, requests=7)
    begin, shown = timezone.now(), []
    for number, asked in enumerate((2**40, 2**40 + 5), start=1):
        at = begin + timedelta(seconds=number)
        count = schema.Counts(endpoint=str(run.pk), by_class=(3, asked, 0, 0, number))
        stats = schema.Stats(
            boot_id="boot", sequence=number, at=at.timestamp(), counts=[count], load=[], latency=[]
        )
        ingest.take(gateway=gateway, stats=stats, at=at)
        shown.append(page()["dstack_service_requests_total"])
    rollup.prune(at=begin + timedelta(days=100))
    shown.append(page()["dstack_service_requests_total"])

    assert not KeyUse.objects.exists()
    name = (run.project.name, "hello")
    assert shown == [{name: 2**40 + 1}, {name: 2**40 + 7}, {name: 2**40 + 7}]
    assert not RequestTotal.objects.filter(run_id=over.pk).exists()


def test_asks_as_often_for_many_services_as_for_one(gateway: Gateway, run: Run) -> None:
    counts = []
    for number in range(3):
        with CaptureQueriesContext(connection) as queries:
            scraper().get("/metrics")
        counts.append(len(queries))
        for more in range(10):
            made = factories.run(run.project, name=f"more-{number}-{more}", gateway=gateway)
            asked(made, total_us=QUICK)

    assert counts == [counts[0]] * 3


@pytest.mark.parametrize("accepts", ["gzip", "gzip, deflate", "identity", ""])
def test_is_packed_for_whom_it_may(run: Run, accepts: str) -> None:
    answer = scraper().get("/metrics", headers={"Accept-Encoding": accepts})

    is_packed = answer.headers.get("Content-Encoding") == "gzip"
    text = gzip.decompress(answer.content) if is_packed else answer.content
    assert is_packed is ("gzip" in accepts)
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert b'dstack_service_wanted{project="main",run="hello"} 1\n' in text
