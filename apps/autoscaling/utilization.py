"""`utilization_policy`: stop what has GPUs and does not use them.

A run is stopped only on figures: each of its replicas must have been ready for the whole time, and
its machine must have told the load of its busiest GPU in most of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max, Sum

from apps.autoscaling import decide
from apps.runs import services, states
from apps.runs.models import Replica, Run
from apps.runs.queries import ACTIVE_RUNS
from apps.specs.fields.durations import in_words
from apps.telemetry.models import Usage
from apps.telemetry.traffic.ingest import BUCKET_SECONDS


@dataclass(frozen=True)
class Watched:
    """A run with a `utilization_policy`."""

    run: Run
    policy: decide.Utilization


def stop_unused(*, at: datetime) -> int:
    """Stop every run whose GPUs were all used too little for too long. Return how many."""
    return sum(_stop(watched, at=at) for watched in _watched())


def _watched() -> list[Watched]:
    runs = Run.objects.filter(state__in=ACTIVE_RUNS, spec__has_key="utilization_policy")
    runs = runs.exclude(spec__utilization_policy=None).select_related("project")
    return [
        Watched(run, policy(run.spec["utilization_policy"]))
        for run in runs.defer("configuration", "secrets")
    ]


def policy(said: dict[str, Any]) -> decide.Utilization:
    """Read `utilization_policy` of a stored spec."""
    window = timedelta(seconds=said["time_window_seconds"])
    return decide.Utilization(said["min_gpu_utilization"], window)


def _stop(watched: Watched, *, at: datetime) -> bool:
    run, wanted = watched.run, watched.policy
    if not decide.is_unused(wanted, _use(run, since=at - wanted.window), at=at):
        return False
    window = in_words(int(wanted.window.total_seconds()))
    why = f"utilization_policy: no GPU was used {wanted.least_percent}% or more for {window}"
    services.stop_by_itself(run=run, reason=why)
    return True


def _use(run: Run, *, since: datetime) -> list[decide.GpuUse]:
    """What the GPUs of each live replica did."""
    live = run.replicas.exclude(state__in=states.REPLICA.final).order_by("num")
    rows = Usage.objects.filter(run_id=run.pk, at__gte=since).exclude(gpu_percent_max=None)
    told = {
        num: (busiest, samples * BUCKET_SECONDS)
        for num, busiest, samples in rows.values_list("replica_num").annotate(
            Max("gpu_percent_max"), Sum("samples")
        )
    }
    return [_of(replica, *told.get(replica.num, (None, 0))) for replica in live]


def _of(replica: Replica, busiest: float | None, seconds: float) -> decide.GpuUse:
    ready_at = replica.ready_at if replica.state == states.RUNNING else None
    return decide.GpuUse(ready_at, busiest, seconds)
