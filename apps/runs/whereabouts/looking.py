"""Where replicas and their machines stand: what `phases` needs to know, read for many at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.instances import states as machines
from apps.runs import states
from apps.runs.models import Replica, Run
from apps.runs.whereabouts import phases

NO_PLACE = ("no-capacity", "no-backend")


@dataclass(frozen=True)
class Whereabouts:
    """`tried` are the offers that could not be had, as the API shows them."""

    phase: str
    since: datetime | None
    tried: Sequence[dict[str, Any]]

    @property
    def tried_words(self) -> str:
        return phases.tried_words(self.tried)


def look(replicas: Iterable[Replica], *, at: datetime | None = None) -> dict[UUID, Whereabouts]:
    """Return where each stands; their instances and workloads were read with them."""
    found, at = list(replicas), at or timezone.now()
    waiting = [replica for replica in found if _waits(replica, at)]
    before, over = _before(waiting), _over(waiting)
    return {
        each.pk: _of(each, before.get((each.run_id, each.num)), over.get(each.run_id), at)
        for each in found
    }


def _waits(replica: Replica, at: datetime) -> bool:
    is_early = replica.not_before is not None and replica.not_before > at
    return replica.state == states.PENDING and is_early


def _before(waiting: Sequence[Replica]) -> dict[tuple[UUID, int], Replica]:
    """Return what failed before each of these: one query, none where none waits."""
    if not waiting:
        return {}
    failed = Replica.objects.filter(run__in={each.run_id for each in waiting}, state=states.FAILED)
    failed = failed.only("run_id", "num", "exit_reason", "message", "tried").order_by(
        "run", "num", "-id"
    )
    return {(each.run_id, each.num): each for each in failed.distinct("run", "num")}


def _over(waiting: Sequence[Replica]) -> dict[UUID, datetime]:
    """Return until when `retry` of their runs looks for a place; without end where they served."""
    if not waiting:
        return {}
    runs = Run.objects.filter(pk__in={each.run_id for each in waiting}, ready_at=None)
    runs = runs.filter(spec__retry__on_events__contains=["no-capacity"]).only(
        "spec", "failures_counted_since"
    )
    return {
        run.pk: run.failures_counted_since
        + timedelta(seconds=run.spec["retry"]["duration_seconds"])
        for run in runs
    }


def _of(
    replica: Replica, before: Replica | None, gives_up_at: datetime | None, at: datetime
) -> Whereabouts:
    facts = phases.Facts(
        state=replica.state,
        state_at=replica.state_at,
        not_before=replica.not_before,
        found_no_place=before is not None and before.exit_reason in NO_PLACE,
        failed_by=before.message if before is not None else "",
        gives_up_at=gives_up_at,
        tries=len(replica.tried),
        machine=_machine(replica),
        workload=_workload(replica),
    )
    said = phases.phase(facts, at=at)
    tried = replica.tried or (before.tried if before is not None else [])
    return Whereabouts(said.text, said.since, [_attempt(each) for each in tried])


def _machine(replica: Replica) -> phases.Machine | None:
    instance = replica.instance
    if instance is None:
        return None
    return phases.Machine(
        state=instance.state,
        state_at=instance.state_at,
        name=instance.instance_type,
        region=instance.region,
        running_at=instance.running_at,
        reported_at=instance.reported_at,
        error=instance.error if instance.attempts else "",
        next_try_at=instance.next_check_at if instance.attempts else None,
        shared=instance.shared,
        step=instance.boot_step,
        step_at=instance.boot_step_at,
    )


def _workload(replica: Replica) -> phases.Workload | None:
    workload = replica.workload
    if workload is None:
        return None
    return phases.Workload(
        state_at=workload.state_at,
        is_taken=workload.state != machines.ASSIGNED,
        is_stopping=workload.desired == "stop",
        told=replica.phase,
    )


def _attempt(stored: dict[str, Any]) -> dict[str, Any]:
    known = {key: stored.get(key, "") for key in ("backend", "region", "instance")}
    return {**known, "spot": bool(stored.get("spot")), "reason": stored.get("why", "")}
