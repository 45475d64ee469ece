from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.gateways.models import Gateway
from apps.runs.models import Run
from apps.telemetry.models import Traffic
from apps.telemetry.traffic.ingest import bucket_of
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db

PAGE = "/projects/main/services/hello/alerts/"


@pytest.fixture
def run(people: People) -> Run:
    return factories.run(people.project, user=people.bob, name="hello")


def shown(people: People) -> str:
    return signed_in(people.bob).get(PAGE).content.decode()


def asked(run: Run, *, minutes_ago: float = 1, **more: Any) -> None:
    at = bucket_of(timezone.now() - timedelta(minutes=minutes_ago), 10)
    Traffic.objects.create(run_id=run.pk, seconds=10, at=at, **more)


def test_a_service_that_is_fine_is_marked_for_nothing(people: People, run: Run) -> None:
    asked(run, by_class=[0, 100, 5, 1, 0])
    # What is long over is no reason to look now.
    asked(run, minutes_ago=60, by_class=[0, 0, 0, 0, 50])
    assert shown(people).strip() == ""


def test_refused_calls_of_a_model_are_said_with_what_to_compare(people: People, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(spec={**run.spec, "model": {"name": "m", "type": "chat"}})
    asked(run, by_class=[0, 1, 0, 11, 0])
    assert "11 of 12 requests in the last 15 minutes were refused (4xx)" in shown(people)
    assert "the model&#x27;s name" in shown(people)


def test_a_service_is_at_its_limit_where_requests_wait_though_all_replicas_are_ready(
    people: People, run: Run
) -> None:
    scaled = {**run.spec, "replicas": {"min": 1, "max": 2}, "scaling": {"metric": "rps"}}
    Run.objects.filter(pk=run.pk).update(spec=scaled)
    for num in range(2):
        ready_at = timezone.now() - timedelta(minutes=5)
        factories.replica(run, num=num, state="running", ready_at=ready_at)
    asked(run, minutes_ago=7, by_class=[0, 5, 0, 0, 0], held_max=9)
    assert shown(people).strip() == ""
    asked(run, by_class=[0, 5, 0, 0, 0], held_max=4)
    assert "runs the 2 replicas that it may have, and up to 4 requests waited" in shown(people)


def test_its_own_certificate_alone_is_looked_at(people: People, run: Run) -> None:
    gateway = factories.gateway(people.project)
    Run.objects.filter(pk=run.pk).update(gateway=gateway)
    mine = {"host": f"hello.{gateway.domain}", "state": "failed", "error": "<no> A record"}
    other = {"host": f"other.{gateway.domain}", "state": "failed", "error": "secret"}
    Gateway.objects.filter(pk=gateway.pk).update(secured=[other, mine])
    assert "the last order failed: &lt;no&gt; A record." in shown(people)
    assert "secret" not in shown(people)


def test_a_run_that_is_over_is_marked_for_nothing(people: People, run: Run) -> None:
    asked(run, by_class=[0, 0, 0, 0, 50])
    assert "50 of 50 requests" in shown(people)
    Run.objects.filter(pk=run.pk).update(state="stopped")
    assert shown(people).strip() == ""
