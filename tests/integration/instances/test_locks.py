"""Machines are locked before what is on them, by everybody: else two wait for each other."""

from __future__ import annotations

import threading
import time

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

    with psycopg.connect(database_url) as report:
        report.execute(LOCK_INSTANCE, [workload.instance_id])
        stopping = threading.Thread(target=stop)
        stopping.start()
        with psycopg.connect(database_url, autocommit=True) as watch:
            end = time.monotonic() + 20
            while watch.execute(WAITING).fetchone() is None:
                assert time.monotonic() < end, "the stop does not wait"
        assert report.execute(LOCK_WORKLOAD, [workload.pk]).fetchone()
    stopping.join(20)

    assert Workload.objects.get(pk=workload.pk).desired == "stop"
