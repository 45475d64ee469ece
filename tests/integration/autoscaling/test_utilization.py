"""`utilization_policy` from what agents measure to the end of the run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.agent import wire
from apps.autoscaling import utilization
from apps.core.models import Event
from apps.runs.models import Run
from apps.specs.parse import parse
from apps.telemetry.metrics import rollup, usage
from apps.telemetry.models import Usage
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

AT = datetime(2030, 1, 10, 12, 0, 5, tzinfo=UTC)
YAML = "type: service\ncommands: [a]\nport: 80\n"
POLICY = "utilization_policy: {min_gpu_utilization: 10, time_window: 5m}\n"


@pytest.fixture
def run(transactional_db: None) -> Run:
    """A service with two replicas that were ready an hour ago."""
    project = factories.project("main", admin=factories.user("alice"))
    run = factories.run(project, spec=parse(YAML + POLICY).to_json())
    for num in range(2):
        replica = factories.replica(run, num=num, ready_at=AT - timedelta(hours=1))
        factories.workload(factories.instance(project), replica=replica)
    return run


def measure(run: Run, *, percent: float | None, num: int = 0, seconds: int = 320) -> None:
    workload = run.replicas.get(num=num).workload
    assert workload is not None
    for age in range(0, seconds, 10):
        more: dict[str, Any] = {"gpu_percent": percent, "gpu_percent_max": percent}
        at = (AT - timedelta(seconds=age)).timestamp()
        sample = wire.UsageSample(str(workload.pk), at, cpu_cores=0, memory_bytes=1, **more)
        usage.take(instance_id=workload.instance_id, batch=wire.UsageBatch([sample]), at=AT)


@pytest.mark.parametrize(
    ("first", "second", "stops"),
    [(0.0, 9.0, True), (0.0, 10.0, False), (0.0, None, False), (None, None, False)],
)
def test_stops_what_does_not_use_its_gpus(
    run: Run, first: float | None, second: float | None, stops: bool
) -> None:
    measure(run, percent=first)
    measure(run, percent=second, num=1)

    assert utilization.stop_unused(at=AT) == stops

    run.refresh_from_db()
    said = "utilization_policy: no GPU was used 10% or more for 5m"
    assert (run.state, run.stop_reason) == (("stopping", said) if stops else ("running", ""))
    events = Event.objects.filter(object_id=run.pk, new="stopping", reason=said)
    assert events.exists() is stops
    assert utilization.stop_unused(at=AT) == 0


def test_one_moment_of_work_in_the_window_counts(run: Run) -> None:
    for num in range(2):
        measure(run, percent=0.0, num=num)
    measure(run, percent=95.0, num=1, seconds=10)

    assert utilization.stop_unused(at=AT) == 0


def test_figures_of_half_the_window_are_not_enough(run: Run) -> None:
    for num in range(2):
        measure(run, percent=0.0, num=num, seconds=150)

    assert utilization.stop_unused(at=AT) == 0


@pytest.mark.parametrize(("percent", "stopped"), [(9.0, 1), (10.0, 0)])
def test_figures_that_were_added_up_count_the_same(run: Run, percent: float, stopped: int) -> None:
    Run.objects.update(spec=parse(YAML + POLICY.replace("5m", "8h")).to_json())
    run.replicas.update(ready_at=AT - timedelta(hours=9))
    now = AT.replace(second=0)
    Usage.objects.bulk_create(
        Usage(
            run_id=run.pk,
            replica_num=num,
            seconds=10,
            at=now - timedelta(seconds=age),
            cpu_cores_sum=0,
            cpu_cores_max=0,
            memory_bytes_max=1,
            gpu_percent_max=percent if age == 7 * 3600 else 0.0,
        )
        for num in range(2)
        for age in range(0, 8 * 3600, 10)
    )
    rollup.roll_up(at=AT)
    assert Usage.objects.filter(seconds=60).exists()

    assert utilization.stop_unused(at=AT) == stopped


@pytest.mark.parametrize("change", [{"state": "starting"}, {"ready_at": AT}])
def test_a_replica_that_has_not_served_for_so_long_speaks_for_the_run(
    run: Run, change: dict[str, Any]
) -> None:
    for num in range(2):
        measure(run, percent=0.0, num=num)
    run.replicas.filter(num=1).update(**change)

    assert utilization.stop_unused(at=AT) == 0


def test_a_run_without_the_policy_is_left_alone(run: Run) -> None:
    for num in range(2):
        measure(run, percent=0.0, num=num)
    Run.objects.update(spec=parse(YAML).to_json())

    assert utilization.stop_unused(at=AT) == 0
