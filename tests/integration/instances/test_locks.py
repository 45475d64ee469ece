"""Machines are locked before what is on them, by everybody: else two wait for each other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from apps.instances import services
from apps.instances.models import Workload
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

LOCK_INSTANCE = "SELECT 1 FROM instances_instance WHERE id = %s FOR UPDATE"
LOCK_WORKLOAD = "SELECT 1 FROM instances_workload WHERE id = %s FOR UPDATE NOWAIT"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def test_a_stop_that_waits_for_a_report_holds_none_of_its_workloads(
    redis_url: str, database_url: str
) -> None:
    project = factories.project("main", admin=factories.user("alice"))
    workload = factories.workload(factories.instance(project))

    def stop() -> None:
        services.stop_workloads(workloads=[workload], at=timezone.now())
        connection.close()

    with ThreadPoolExecutor(1) as pool, psycopg.connect(database_url) as report:
        report.execute(LOCK_INSTANCE, [workload.instance_id])
        stopping = pool.submit(stop)
        with psycopg.connect(database_url, autocommit=True) as watch:
            end = time.monotonic() + 60
            while watch.execute(WAITING).fetchone() is None:
                # What keeps it from waiting is told, should there be anything.
                assert not stopping.done(), f"the stop did not wait: {stopping.exception()}"
                assert time.monotonic() < end, "the stop does not wait"
                time.sleep(0.02)  # who asks on and on keeps it from coming that far
        assert report.execute(LOCK_WORKLOAD, [workload.pk]).fetchone()
        report.commit()
        stopping.result(60)

    assert Workload.objects.get(pk=workload.pk).desired == "stop"
