"""Every read of scaling: who scales, by which policy, and what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils import timezone

from apps.autoscaling.decide import Memory, Policy
from apps.autoscaling.models import Decision
from apps.runs import schedule, states
from apps.runs.models import Replica, Run
from apps.runs.queries import ACTIVE_RUNS


@dataclass(frozen=True)
class Scaled:
    """A run that scales, as far as scaling needs it."""

    id: UUID
    gateway_id: int | None
    desired: int
    set_by_person_at: datetime
    policy: Policy
    memory: Memory
    kind: str


def scaled_runs(ids: Iterable[UUID] | None = None) -> list[Scaled]:
    """Return the active runs with `scaling`, or those of `ids` among them; what
    a schedule has switched off is left out."""
    runs = Run.objects.filter(state__in=ACTIVE_RUNS, spec__has_key="scaling")
    runs = runs.exclude(spec__scaling=None)
    if ids is not None:
        runs = runs.filter(pk__in=list(ids))
    rows = runs.order_by("pk").values_list(
        *("pk", "gateway_id", "desired_replicas", "failures_counted_since"),
        *("spec__scaling", "spec__replicas", "scaler__memory", "scaler__kind"),
        *("spec__schedule", "created_at"),
    )
    return [
        Scaled(pk, gateway, desired, asked, policy(scaling, limits), memory(kept), kind or "")
        for pk, gateway, desired, asked, scaling, limits, kept, kind, plan, since in rows
        if schedule.is_on(plan, since=since, at=timezone.now())
    ]


def policy(scaling: Mapping[str, Any], replicas: Mapping[str, Any]) -> Policy:
    """Read `scaling` and `replicas` of a stored spec."""
    down = scaling["scale_down_delay_seconds"]
    zero = scaling.get("scale_to_zero_delay_seconds")
    return Policy(
        metric=scaling["metric"],
        target=scaling["target"],
        least=replicas["min"] or 0,
        most=replicas["max"] or 0,
        window_seconds=scaling["window_seconds"],
        up_delay_seconds=scaling["scale_up_delay_seconds"],
        down_delay_seconds=down,
        zero_delay_seconds=down if zero is None else zero,
    )


def memory(kept: Mapping[str, Any] | None) -> Memory:
    if not kept:
        return Memory()
    peaks = tuple((float(start), int(most)) for start, most in kept.get("peaks", ()))
    return Memory(**{**kept, "peaks": peaks})


def ready_replicas(run_ids: Iterable[UUID]) -> dict[UUID, int]:
    """Return how many replicas of each run take requests."""
    running = Replica.objects.filter(run_id__in=list(run_ids), state=states.RUNNING)
    return dict(running.order_by().values_list("run_id").annotate(Count("pk")))


def decisions_of(run: Run) -> QuerySet[Decision]:
    """Return a run's decisions, newest first."""
    return run.decisions.order_by("-id")
