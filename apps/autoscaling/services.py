"""The verbs of scaling: look at every service that scales, wake those that are asked for.

Ticks may overlap, come late or be lost: a decision is written only where the run's desired number
is still the one that it was made for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.autoscaling import decide, queries
from apps.autoscaling.models import Decision, Scaler
from apps.autoscaling.queries import Scaled
from apps.core.sweep import one_by_one
from apps.runs import machine_limits
from apps.runs.scale.desired_replicas import note, set_desired
from apps.telemetry.traffic import live_points

# These change no number but are worth a row: why nothing happens.
TOLD = (decide.LIMIT, decide.BLIND, decide.PROJECT)


def tick(*, at: datetime, ids: Iterable[UUID] | None = None) -> int:
    """Decide for every service that scales, or for those of `ids` among them.

    Return how many changed."""
    runs = queries.scaled_runs(ids)
    if not runs:
        return 0
    points = live_points.of({run.id: run.gateway_id for run in runs}, at=at.timestamp())
    ready = queries.ready_replicas(run.id for run in runs)
    changed = 0

    def look(run: Scaled) -> None:
        nonlocal changed
        facts = decide.Facts(
            desired=run.desired,
            ready=ready.get(run.id, 0),
            points=points[run.id],
            set_by_person_at=run.set_by_person_at.timestamp(),
        )
        verdict = decide.decide(run.policy, facts, run.memory, at=at.timestamp())
        verdict = _bounded(run, verdict)
        changed += _write(run, verdict, ready=facts.ready, at=at)

    one_by_one(runs, look)
    return changed


def wake(*, ids: Iterable[UUID], at: datetime) -> int:
    """Wake the sleeping ones among these runs: requests are held for them."""
    woken = 0
    for run in queries.scaled_runs(ids):
        verdict = decide.wake(run.policy, run.desired)
        if verdict is not None:
            woken += _write(run, _bounded(run, verdict), ready=0, at=at)
    return woken


def _bounded(run: Scaled, verdict: decide.Verdict) -> decide.Verdict:
    """More replicas only where the project may have machines for them."""
    if verdict.desired <= run.desired:
        return verdict
    bound = machine_limits.bound_of(run.id)
    if bound is None:
        return verdict
    return decide.bounded(verdict, seen=run.desired, most=bound.most, why=bound.why)


def _write(run: Scaled, verdict: decide.Verdict, *, ready: int, at: datetime) -> bool:
    changes = verdict.desired != run.desired
    told = verdict.kind in TOLD and verdict.kind != run.kind
    kind = verdict.kind if changes or told else run.kind
    if verdict.memory == run.memory and kind == run.kind and not changes:
        return False
    with transaction.atomic():
        if changes and not set_desired(run_id=run.id, seen=run.desired, desired=verdict.desired):
            return False
        if changes or told:
            _record(run, verdict, ready=ready, at=at)
        Scaler.objects.update_or_create(
            run_id=run.id, defaults={"memory": asdict(verdict.memory), "kind": kind}
        )
    return changes


def _record(run: Scaled, verdict: decide.Verdict, *, ready: int, at: datetime) -> None:
    reason = verdict.reason[:300]
    Decision.objects.create(
        run_id=run.id,
        at=at,
        before=run.desired,
        desired_replicas=verdict.desired,
        ready=ready,
        kind=verdict.kind,
        reason=reason,
    )
    note(run_id=run.id, before=run.desired, desired=verdict.desired, reason=reason, at=at)
