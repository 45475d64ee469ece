from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.agent import wire
from apps.telemetry.metrics import prometheus, rollup, series, usage
from apps.telemetry.models import Usage
from tests import factories
from tests.printing import Printer

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2030, 1, 10, 12, 0, 5, tzinfo=UTC)
URL = "/api/agent/usage"


def sample(replica: Printer, *, age: float = 0, at: datetime = AT, **more: Any) -> wire.UsageSample:
    when = (at - timedelta(seconds=age)).timestamp()
    values = {"cpu_cores": 0.5, "memory_bytes": 100, **more}
    return wire.UsageSample(id=str(replica.workload.pk), at=when, **values)


def take(replica: Printer, *samples: wire.UsageSample) -> int:
    batch = wire.UsageBatch(list(samples))
    return usage.take(instance_id=replica.instance.pk, batch=batch, at=AT)


def post(replica: Printer, body: Any) -> Any:
    client = Client(headers=factories.agent_headers(replica.instance))
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(URL, text, content_type="application/json")


def points(replica: Printer) -> list[Any]:
    found = series.requests_of(run=replica.run, length=timedelta(minutes=1), at=AT)["resources"]
    return [(each["replica"], each["points"]) for each in found]


def test_takes_what_an_agent_sends(replica: Printer) -> None:
    now = timezone.now()
    row = wire.to_json(sample(replica, at=now))

    answer = post(replica, {"samples": [{**row, "new": "field"}], "wire": 1})

    assert answer.status_code == 200
    (kept,) = Usage.objects.all()
    assert (kept.run_id, kept.replica_num, kept.memory_bytes_max) == (replica.run.pk, 0, 100)


def test_a_batch_may_come_twice(replica: Printer) -> None:
    for _ in range(2):
        take(replica, sample(replica, age=25, cpu_cores=1.5), sample(replica, age=15))

    ((num, found),) = points(replica)

    assert num == 0
    assert [point and point["cpu_cores"] for point in found] == [None] * 4 + [1.5, 0.5]


def test_an_agent_speaks_only_for_its_own_workloads(replica: Printer) -> None:
    other = factories.instance(replica.run.project)
    strange = wire.UsageSample(id="x'; drop", at=0, cpu_cores=1, memory_bytes=1)
    batch = wire.UsageBatch([sample(replica), strange])

    assert usage.take(instance_id=other.pk, batch=batch, at=AT) == 0
    assert not Usage.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpu_cores": float("nan")},
        {"cpu_cores": -1.0},
        {"memory_bytes": 2**70},
        {"gpu_percent": float("inf")},
        {"disk_bytes": -5},
    ],
)
def test_leaves_out_what_cannot_be(replica: Printer, wrong: dict[str, Any]) -> None:
    assert take(replica, sample(replica, age=20, **wrong), sample(replica)) == 1


@pytest.mark.parametrize("age", [-(10.0**6), 10.0**6, 10.0**9])
def test_a_clock_that_is_wrong_puts_nothing_into_other_years(replica: Printer, age: float) -> None:
    take(replica, sample(replica, age=age))

    (row,) = Usage.objects.all()
    assert AT - timedelta(hours=1, seconds=10) <= row.at <= AT


@pytest.mark.parametrize("body", [b"", b"[]", b"{", {"samples": 1}, {"samples": [{"id": 1}]}])
def test_refuses_what_is_no_batch(replica: Printer, body: Any) -> None:
    answer = post(replica, body)

    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_refuses_a_batch_that_is_too_large(replica: Printer) -> None:
    assert post(replica, b" " * (2 * 2**20 + 1)).status_code == 413


def test_old_samples_become_coarser_and_lose_nothing(
    replica: Printer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = timedelta(hours=7)
    for second in range(0, 120, 10):
        values = {
            "cpu_cores_sum": 1.0,
            "cpu_cores_max": 1 + second / 10,
            "memory_bytes_max": second,
        }
        at = AT - old + timedelta(seconds=second - 5)
        Usage.objects.create(
            run_id=replica.run.pk, replica_num=0, seconds=10, at=at, disk_bytes_max=7, **values
        )

    assert rollup.roll_up(at=AT) == 12
    assert rollup.roll_up(at=AT) == 0

    rows = Usage.objects.order_by("at").values_list(
        *("seconds", "samples", "cpu_cores_sum", "cpu_cores_max", "memory_bytes_max"),
        *("disk_bytes_max", "gpu_percent_sum", "at"),
    )
    begin = AT - old - timedelta(seconds=5)
    assert list(rows) == [
        (60, 6, 6.0, 6.0, 50, 7, None, begin),
        (60, 6, 6.0, 12.0, 110, 7, None, begin + timedelta(minutes=1)),
    ]


def test_what_comes_later_is_added_to_a_coarse_bucket(replica: Printer) -> None:
    for second, load in ((0, None), (10, 50.0), (20, 30.0)):
        at = AT - timedelta(hours=7, seconds=5 - second)
        Usage.objects.create(
            run_id=replica.run.pk,
            replica_num=0,
            seconds=10,
            at=at,
            cpu_cores_sum=1.0,
            cpu_cores_max=1.0,
            memory_bytes_max=1,
            gpu_percent_sum=load,
        )
        rollup.roll_up(at=AT)

    (row,) = Usage.objects.all()
    assert (row.seconds, row.samples, row.cpu_cores_sum, row.gpu_percent_sum) == (60, 3, 3.0, 80.0)


def test_forgets_what_is_too_old(replica: Printer) -> None:
    for days in (6, 8):
        Usage.objects.create(
            run_id=uuid4(),
            replica_num=0,
            seconds=600,
            at=AT - timedelta(days=days),
            cpu_cores_sum=1.0,
            cpu_cores_max=1.0,
            memory_bytes_max=1,
        )
    rollup.prune(at=AT)

    assert Usage.objects.count() == 1


def test_prometheus_has_the_newest_of_each_replica(replica: Printer) -> None:
    take(replica, sample(replica, age=15, memory_bytes=1), sample(replica, memory_bytes=2))

    lines = list(prometheus.lines(at=AT))

    project, run = replica.run.project.name, replica.run.name
    labels = f'project="{project}",run="{run}",replica="0"'
    assert f"dstack_replica_memory_bytes{{{labels}}} 2" in lines
    assert not any(line.startswith("dstack_replica_gpu_percent{") for line in lines)
