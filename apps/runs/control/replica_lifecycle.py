"""The life of replicas: a place, a start, serving, draining, an end.

Replicas come in batches: claimed together, decided in memory, written together. Only finding a
place asks backends, one replica after the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.agent import wire
from apps.core import notifications, sweep
from apps.core.after_commit import after_commit
from apps.core.sweep import in_batches
from apps.core.transition import Change, transition_all
from apps.instances import services as instances
from apps.instances import states as instance_states
from apps.instances.models import Instance, Workload
from apps.instances.tunnels import claims as tunnels
from apps.runs import states
from apps.runs.control import placement, placement_attempts, replica_steps, unanswered
from apps.runs.models import Replica, Run
from apps.runs.rollout import image_pins
from apps.specs.fields.durations import unending

PHASE_CHARACTERS = 200
LARGE = ("run__configuration", "run__secrets")


def advance(*, ids: Sequence[UUID], at: datetime) -> None:
    """Take each named replica one step on."""
    in_batches(list(ids), lambda some: _advance(some, at=at), size=sweep.BATCH)


def _advance(ids: Sequence[UUID], *, at: datetime) -> None:
    # What most replicas need for most steps; the rest is read when one is placed or stopped.
    rows = Replica.objects.select_related("run").defer("last_lines", "unanswered", *LARGE)
    replicas = sweep.claim(rows, ids, at=at)
    known = Workload.objects.select_related("tunnel").defer("spec", "secrets")
    workloads = known.in_bulk([replica.workload_id for replica in replicas if replica.workload_id])
    away_for = replica_steps.TUNNEL_AWAY_FOR
    tunnels.count_anew(workloads.values(), seen_after=away_for, at=at)
    machines = _machines(replicas)
    steps = {r.pk: _step(r, _of(r, workloads), machines.get(r.instance_id), at) for r in replicas}
    _write(replicas, workloads, steps, at=at)
    for replica in replicas:
        if steps[replica.pk].place:
            placement.place(replica, at=at)


def _of(replica: Replica, workloads: dict[UUID, Workload]) -> Workload | None:
    return workloads.get(replica.workload_id) if replica.workload_id else None


def _machines(replicas: Sequence[Replica]) -> dict[UUID | None, Instance]:
    """Return the machines of these replicas that are silent or taken back by their clouds."""
    there = {r.instance_id for r in replicas if r.instance_id is not None}
    odd = Instance.objects.filter(
        Q(state=instance_states.LOST) | Q(interrupted_at__isnull=False), pk__in=there
    )
    return {each.pk: each for each in odd.only("state", "interrupted_at", "ends_at")}


def _step(
    replica: Replica, workload: Workload | None, odd: Instance | None, at: datetime
) -> replica_steps.Step:
    """`odd` is its machine, if that is silent or taken back."""
    facts = None
    if workload is not None:
        facts = replica_steps.WorkloadFacts(
            state=workload.state,
            ready=workload.ready,
            asked_to_stop=workload.desired == "stop",
            exit_reason=workload.exit_reason,
            exit_code=workload.exit_code,
            message=workload.message,
            probe_message=workload.probe_message,
            waits=workload.phase == wire.PHASE_ENGINE_AWAY,
            lost=odd is not None and odd.state == instance_states.LOST,
            interrupted=odd is not None and odd.interrupted_at is not None,
            unreached=workload.is_unreached,
            cut_at=workload.cut_at,
        )
    timing = replica_steps.Timing(
        state_at=replica.state_at,
        not_before=replica.not_before,
        deadline_at=replica.deadline_at,
        drained_at=replica.drained_at,
        stop_duration=timedelta(seconds=unending(replica.run.spec["stop_duration_seconds"])),
        ends_at=odd.ends_at if odd else None,
    )
    return replica_steps.advance(replica.state, facts, timing, at=at)


def _write(
    replicas: Sequence[Replica],
    workloads: dict[UUID, Workload],
    steps: dict[UUID, replica_steps.Step],
    *,
    at: datetime,
) -> None:
    _stop(replicas, workloads, steps, at=at)
    changes = [
        Change(r, step.to, step.reason, _fields(r, _of(r, workloads), step, at))
        for r in replicas
        if (step := _told(r, _of(r, workloads), steps[r.pk])).to is not None
    ]
    with transaction.atomic():
        done = [row for row in transition_all(changes, at=at) if isinstance(row, Replica)]
        unanswered.tell([row.pk for row in done if row.is_final], at=at)
    changed = [row.run_id for row in done]
    image_pins.tell_mixture({r.run_id for r in replicas if steps[r.pk].to == states.RUNNING})
    # Should the hint to the run be lost, the sweep finds it.
    Run.objects.filter(pk__in=changed, next_check_at__isnull=False).update(next_check_at=at)
    waiting = [r for r in replicas if steps[r.pk].to is None and not steps[r.pk].place]
    _set_next_checks(waiting, workloads, steps, at=at)
    _tell_unreached(replicas, workloads)
    _move(waiting, workloads)


def _set_next_checks(
    waiting: Sequence[Replica],
    workloads: dict[UUID, Workload],
    steps: dict[UUID, replica_steps.Step],
    *,
    at: datetime,
) -> None:
    """Most replicas at rest are looked at again at the same time, with the same phase: few
    statements, however many they are."""
    alike: dict[tuple[datetime, str], list[UUID]] = defaultdict(list)
    for replica in waiting:
        known = _of(replica, workloads)
        kept = known is None or replica.phase == replica_steps.MACHINE_LOST
        phase = replica.phase if kept or known is None else phase_of(known)
        alike[steps[replica.pk].next_check_at or at + replica_steps.RESYNC_INTERVAL, phase].append(
            replica.pk
        )
    for (next_check_at, phase), ids in alike.items():
        # What ended meanwhile is looked at no more.
        waits = Replica.objects.filter(pk__in=ids, next_check_at__isnull=False)
        waits.update(next_check_at=next_check_at, phase=phase)


def _tell_unreached(replicas: Sequence[Replica], workloads: dict[UUID, Workload]) -> None:
    """Have the gateways of replicas that only they must reach yet hear of them."""
    early = [r for r in replicas if r.state in (states.PROVISIONING, states.STARTING)]
    unreached = [r.pk for r in early if (known := _of(r, workloads)) and known.is_unreached]
    if unreached:
        after_commit(notifications.transitioned, states.REPLICA.name, "waiting", unreached)


def _move(waiting: Sequence[Replica], workloads: dict[UUID, Workload]) -> None:
    """A workload that began anew (its host did, or the server is a restored one) is elsewhere
    although its replica runs all the time."""
    moved = []
    for replica in waiting:
        workload = _of(replica, workloads)
        serving = replica.state in (states.RUNNING, states.UNHEALTHY)
        if workload is None or not serving or not workload.address:
            continue
        if workload.address != replica.address:
            Replica.objects.filter(pk=replica.pk).update(address=workload.address)
            moved.append(replica.pk)
    if moved:
        after_commit(notifications.transitioned, states.REPLICA.name, "moved", moved)


def _stop(
    replicas: Sequence[Replica],
    workloads: dict[UUID, Workload],
    steps: dict[UUID, replica_steps.Step],
    *,
    at: datetime,
) -> None:
    within: dict[float | None, list[UUID]] = defaultdict(list)
    for replica in replicas:
        if steps[replica.pk].stop and replica.workload_id:
            moments = replica_steps.LAST_MOMENTS.total_seconds()
            seconds = moments if steps[replica.pk].hurry else None
            within[0.0 if replica.run.abort else seconds].append(replica.workload_id)
    for seconds, ids in within.items():
        named = list(Workload.objects.filter(pk__in=ids).select_related("instance"))
        instances.stop_workloads(workloads=named, at=at, stop_seconds=seconds)


def _told(
    replica: Replica, workload: Workload | None, step: replica_steps.Step
) -> replica_steps.Step:
    """The step, with what was tried where there was no place."""
    if workload is None or workload.exit_reason not in replica_steps.NEVER_MADE:
        return step
    tried = placement.failed_attempt(replica, workload)
    if step.to == states.PENDING:
        return replace(step, reason=str(tried))
    if step.to == states.FAILED:
        return replace(
            step,
            reason=placement_attempts.told([*placement_attempts.read(replica.tried), tried], {}),
        )
    return step


def _fields(
    replica: Replica, workload: Workload | None, step: replica_steps.Step, at: datetime
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "next_check_at": step.next_check_at or at + replica_steps.RESYNC_INTERVAL
    }
    if workload is not None:
        lost = step.reason == replica_steps.MACHINE_LOST
        phase = replica_steps.MACHINE_LOST if lost else phase_of(workload)
        fields |= {"phase": phase, "address": workload.address}
    if step.to == states.RUNNING and replica.ready_at is None:
        fields["ready_at"] = (workload.ready_at if workload else None) or at
    if step.to == states.PENDING and workload is not None:
        fields |= placement.without_place(replica, workload)
    if step.to in states.REPLICA.final:
        fields |= {"finished_at": at, "next_check_at": None, "exit_reason": step.exit_reason}
        fields["message"] = step.reason
        if workload is not None and workload.exit_reason in replica_steps.NEVER_MADE:
            fields["tried"] = placement.tried_with(replica, workload)
        if workload is not None:
            fields |= {"exit_code": workload.exit_code, "last_lines": workload.last_lines}
    return fields


def phase_of(workload: Workload) -> str:
    """What a workload that is not ready does, and what its probe says of that."""
    phase, said = workload.phase, workload.probe_message
    if workload.is_unreached or workload.cut_at is not None:
        return replica_steps.TUNNEL
    if workload.ready is not False or not said or not phase:
        return phase
    told = said if said.startswith(phase) else f"{phase}: {said}"
    return told[:PHASE_CHARACTERS]


def out_of_sync() -> list[UUID]:
    """Return replicas whose workloads went on without them: a hint was lost."""
    unfinished = Replica.objects.exclude(state__in=states.REPLICA.final)
    early = [states.PROVISIONING, states.STARTING]
    lost = Q(instance__state=instance_states.LOST)
    unreached = Q(workload__tunnel__freed_at=None, workload__tunnel__reached_at=None)
    unreached &= Q(workload__tunnel__isnull=False)
    cut = Q(workload__tunnel__freed_at=None, workload__tunnel__cut_at__isnull=False)
    behind = (
        Q(workload__state=instance_states.EXITED)
        | Q(state=states.RUNNING, workload__ready=False)
        | Q(state=states.RUNNING) & lost
        | Q(state__in=early, workload__ready=True) & ~unreached
        | Q(state=states.UNHEALTHY, workload__ready=True) & ~lost & ~cut
    )
    return list(unfinished.filter(behind).values_list("pk", flat=True)[: 10 * sweep.BATCH])


def replicas_of_workloads(workload_ids: Iterable[UUID]) -> list[UUID]:
    """Return the unfinished replicas that these workloads carry."""
    carried = Replica.objects.filter(workload_id__in=list(workload_ids))
    unfinished = carried.exclude(state__in=states.REPLICA.final)
    return list(unfinished.values_list("pk", flat=True))


def replicas_on_instances(instance_ids: Iterable[UUID]) -> list[UUID]:
    """Return the unfinished replicas on these machines."""
    there = Replica.objects.filter(instance_id__in=list(instance_ids))
    unfinished = there.exclude(state__in=states.REPLICA.final)
    live = unfinished.exclude(workload__state=instance_states.EXITED)
    return list(live.values_list("pk", flat=True))


def drained(*, ids: Iterable[UUID], at: datetime) -> list[UUID]:
    """Note that no request is left on these draining replicas.

    Return those for which this is news.
    """
    news = Replica.objects.filter(pk__in=list(ids), state=states.DRAINING, drained_at__isnull=True)
    known = list(news.values_list("pk", flat=True))
    Replica.objects.filter(pk__in=known).update(drained_at=at, next_check_at=at)
    return known
