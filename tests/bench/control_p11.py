"""P11: what the control loop costs while nothing changes, and how many replicas it moves a second.

    pytest tests/bench/control_p11.py -s

A private PostgreSQL without fsync on the same cores. At rest: 1,000 runs of 10 replicas each; all
that beat and the sweep do in one minute is done here one after the other, and the processor time of
this process is that of a worker. PostgreSQL's own time is not in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from apps.accounts.models import Project
from apps.core import sweep
from apps.core.models import Stateful
from apps.instances.models import Instance, Workload
from apps.routing import services as routing
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from tests import factories

RUNS, REPLICAS_EACH = 1000, 10
MOVED = 4000
MINUTE_SECONDS = 60


@pytest.mark.django_db
@pytest.mark.timeout(900)
def test_p11() -> None:
    project = factories.project()
    gateway = factories.gateway(project)
    machine = factories.instance(project, state="ready", shared=True)
    fill(project, machine, gateway_id=gateway.pk)
    routing.publish_all(gateway_ids=[gateway.pk])
    calm = {name: cpu_seconds(job) for name, job in minute(gateway.pk).items()}
    rate = moved_per_second()

    print()
    for name, seconds in calm.items():
        print(f"P11  at rest, {name:24s} {seconds:6.2f} s of a minute")
    share = sum(calm.values()) / MINUTE_SECONDS
    print(f"P11  at rest, 10,000 replicas      {share:6.1%} of a core    (at most 10 %)")
    print(f"P11  replicas moved                {rate:6,.0f} /s        (at least 500/s)")


def fill(project: Project, machine: Instance, *, gateway_id: int) -> None:
    """Rows as they are once 10,000 replicas run and are looked at by the minute."""
    far = timezone.now() + timedelta(days=1)
    first = factories.run(project, gateway_id=gateway_id, desired_replicas=REPLICAS_EACH)
    like = {f.attname: getattr(first, f.attname) for f in Run._meta.fields if f.name != "id"}
    runs = [Run(**{**like, "name": f"bench-{n}", "next_check_at": far}) for n in range(RUNS - 1)]
    Run.objects.bulk_create(runs, batch_size=1000)
    for start in range(0, RUNS, 100):
        add_replicas([first, *runs][start : start + 100], machine, "running", ready=True)


def add_replicas(runs: list[Run], machine: Instance, state: str, *, ready: bool) -> None:
    far = timezone.now() + timedelta(days=1)
    pairs = [(run, num) for run in runs for num in range(REPLICAS_EACH)]
    workloads = [
        Workload(
            instance=machine,
            run_id=run.pk,
            name=f"{run.name}-{num}",
            state="running",
            spec={},
            secrets="",
            ready=ready,
            address=f"127.0.0.1:{20000 + number % 10000}",
            next_check_at=None,
        )
        for number, (run, num) in enumerate(pairs)
    ]
    Workload.objects.bulk_create(workloads)
    Replica.objects.bulk_create(
        Replica(
            run=run,
            num=num,
            state=state,
            workload=workload,
            instance=machine,
            address=workload.address,
            next_check_at=far,
        )
        for (run, num), workload in zip(pairs, workloads, strict=True)
    )


def minute(gateway_id: int) -> dict[str, Callable[[], None]]:
    """What happens in a minute: each row is looked at once, and beat's own tasks run."""
    return {
        "replicas": lambda: replica_lifecycle.advance(ids=all_ids(Replica), at=timezone.now()),
        "runs": lambda: reconcile.reconcile(ids=all_ids(Run), at=timezone.now()),
        "sweep": lambda: repeat(MINUTE_SECONDS, sweep_once),
        "catch up": lambda: repeat(MINUTE_SECONDS // 3, catch_up),
        "publish": lambda: repeat(
            MINUTE_SECONDS // 10, lambda: routing.publish_all(gateway_ids=[gateway_id])
        ),
    }


def all_ids(model: type[Stateful]) -> list[UUID]:
    return list(model._default_manager.values_list("pk", flat=True))


def repeat(times: int, job: Callable[[], None]) -> None:
    for _ in range(times):
        job()


def sweep_once() -> None:
    models: tuple[type[Stateful], ...] = (Run, Replica, Instance)
    for model in models:
        sweep.due(model._default_manager.all(), at=timezone.now())


def catch_up() -> None:
    replica_lifecycle.advance(ids=replica_lifecycle.out_of_sync(), at=timezone.now())


def cpu_seconds(job: Callable[[], None]) -> float:
    began = time.process_time()
    job()
    return time.process_time() - began


def moved_per_second() -> float:
    """From starting to running, as the agent's report of a passed probe has it."""
    runs = list(Run.objects.order_by("-pk")[: MOVED // REPLICAS_EACH])
    Replica.objects.filter(run__in=runs).update(state="starting")
    ids = list(Replica.objects.filter(state="starting").values_list("pk", flat=True))
    began = time.perf_counter()
    replica_lifecycle.advance(ids=ids, at=timezone.now())
    took = time.perf_counter() - began
    assert Replica.objects.filter(pk__in=ids, state="running").count() == len(ids)
    return len(ids) / took
