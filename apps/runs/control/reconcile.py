"""The life of runs: keep as many replicas as desired, and derive the run's state from them.

Only `reconcile` writes a run's state, under the lock of the run's row; it makes no outside call.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from apps.core import sweep
from apps.core.sweep import in_batches
from apps.core.transition import Change, created, transition, transition_all
from apps.instances import interruptions
from apps.instances import services as instances
from apps.runs import states
from apps.runs.control import decide, replica_load
from apps.runs.models import Replica, Run
from apps.runs.rollout import versions
from apps.specs.fields.durations import in_words

EXPIRED = "max_duration is over"
# When machines end that their clouds take back.
Ending = Mapping[UUID | None, datetime]
# A run at rest is looked at by the minute, only to catch what a lost hint would have told.
RESYNC_INTERVAL = timedelta(seconds=60)
ELSEWHERE = ("in_flight", "ends_at")
STORED = [
    each.name for each in dataclasses.fields(decide.ReplicaFacts) if each.name not in ELSEWHERE
]
FACTS = ("run_id", "instance_id", *STORED)


def reconcile(*, ids: Sequence[UUID], at: datetime) -> None:
    """Bring each named run one step towards what it should be."""
    in_batches(list(ids), lambda some: _reconcile_batch(some, at=at), size=sweep.BATCH)


def _reconcile_batch(ids: Sequence[UUID], *, at: datetime) -> None:
    ending = interruptions.ending()
    restless = sorted(set(ids) - _at_rest(ids, ending, at=at))
    in_flight = replica_load.of(restless)
    for pk in restless:
        with transaction.atomic():
            run = Run.objects.select_for_update().filter(pk=pk, next_check_at__isnull=False).first()
            if run is not None:
                _reconcile(run, in_flight, ending, at=at)


def _at_rest(ids: Sequence[UUID], ending: Ending, *, at: datetime) -> set[UUID]:
    """Runs for which there is nothing to do, found without a lock or a transaction for each.

    The look is free: what changes after it wakes the run again. Only a due time that was reached is
    moved, so that a newer one is not lost.
    """
    runs = Run.objects.filter(pk__in=list(ids), next_check_at__isnull=False)
    runs = runs.defer("configuration", "secrets")
    facts: dict[UUID, list[decide.ReplicaFacts]] = defaultdict(list)
    counted = Q(finished_at__gte=F("run__failures_counted_since")) | ~Q(
        state__in=states.REPLICA.final
    )
    for replica in Replica.objects.filter(counted, run__in=runs).order_by("pk").only(*FACTS):
        facts[replica.run_id].append(_replica_facts(replica, ending))
    alike: dict[datetime, list[UUID]] = defaultdict(list)
    for run in runs:
        verdict = decide.reconcile(_run_facts(run, at=at), facts[run.pk], at=at)
        if decide.changes_nothing(run.state, verdict):
            alike[_next_check_at(verdict, at)].append(run.pk)
    for next_check_at, group in alike.items():
        due = Run.objects.filter(pk__in=group, next_check_at__lte=at)
        due.update(next_check_at=next_check_at)
    return {pk for group in alike.values() for pk in group}


def _reconcile(run: Run, in_flight: Mapping[str, int], ending: Ending, *, at: datetime) -> None:
    counted = Q(finished_at__gte=run.failures_counted_since) | ~Q(state__in=states.REPLICA.final)
    replicas = list(run.replicas.filter(counted).order_by("pk"))
    facts = [_replica_facts(r, ending, in_flight.get(str(r.pk), 0)) for r in replicas]
    verdict = decide.reconcile(_run_facts(run, at=at), facts, at=at)
    if verdict.give_up:
        _give_up(run, replicas, verdict.reason, at=at)
        return
    for start in verdict.start:
        _start(run, start, at=at)
    _retire([r for r in replicas if r.pk in set(verdict.retire)], ending, at=at)
    if verdict.expired:
        _note_expired(run, at=at)
    _settle(run, verdict, at=at)


def _note_expired(run: Run, *, at: datetime) -> None:
    """From here on it is as if a person had stopped it: its machines are kept no longer either."""
    Run.objects.filter(pk=run.pk).update(stop_requested_at=at, stop_reason=EXPIRED)
    if "idle_duration" not in run.spec.get("written", ()):
        live = run.replicas.exclude(state__in=states.REPLICA.final).exclude(instance=None)
        instances.release(instance_ids=list(live.values_list("instance_id", flat=True)))


def _give_up(run: Run, replicas: Sequence[Replica], reason: str, *, at: datetime) -> None:
    """Back to the version that served; the wake-up of the update brings it about."""
    failed = [r for r in replicas if r.state == states.FAILED and r.version == run.version]
    versions.give_up(run, reason=reason, last_lines=failed[-1].last_lines, at=at)


def _run_facts(run: Run, *, at: datetime) -> decide.RunFacts:
    spec = run.spec
    retry = spec.get("retry") or {}
    table = run.timetable
    is_on = table is None or table.is_on(at)
    # What failed yesterday is no reason to leave it off today.
    started_at = (table and table.started_at(at)) or run.failures_counted_since
    return decide.RunFacts(
        state=run.state,
        desired=run.desired_replicas if is_on else 0,
        stopping=run.stop_requested_at is not None,
        failures_counted_since=max(run.failures_counted_since, started_at),
        changes_at=table.changes_at(at) if table else None,
        created_at=run.created_at,
        max_duration=_seconds(spec.get("max_duration_seconds")),
        retry_on=frozenset(retry.get("on_events") or ()),
        retry_for=_seconds(retry.get("duration_seconds")),
        version=run.version,
        fallback=run.fallback,
        start_within=_start_within(run),
        was_ready=run.ready_at is not None,
        autoscaled=bool(spec.get("scaling"))
        and (run.ready_at is not None or not spec["replicas"]["min"]),
    )


def _seconds(value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _replica_facts(replica: Replica, ending: Ending, in_flight: int = 0) -> decide.ReplicaFacts:
    return decide.ReplicaFacts(
        id=replica.pk,
        num=replica.num,
        state=replica.state,
        attempt=replica.attempt,
        ready_at=replica.ready_at,
        finished_at=replica.finished_at,
        exit_reason=replica.exit_reason,
        message=replica.message,
        version=replica.version,
        in_flight=in_flight,
        ends_at=ending.get(replica.instance_id),
    )


def _start_within(run: Run) -> timedelta:
    seconds = run.spec.get("start_duration_seconds") or settings.DSTACK_START_DEADLINE_SECONDS
    return timedelta(seconds=seconds)


def _start(run: Run, start: decide.Start, *, at: datetime) -> None:
    begins = max(start.not_before or at, at)
    pause = _pause_words(start.attempt, begins - at)
    replica = Replica(
        run=run,
        num=start.num,
        version=run.version,
        attempt=start.attempt,
        not_before=start.not_before,
        phase=pause,
        deadline_at=begins + _start_within(run),
        state=states.REPLICA.initial,
        state_at=at,
        next_check_at=begins,
    )
    replica.save()
    again = f"attempt {start.attempt + 1}" if start.attempt else ""
    created(replica, at=at, reason=f"{again}: {pause}" if pause else again)


def _pause_words(failures: int, pause: timedelta) -> str:
    if pause < timedelta(seconds=1):
        return ""
    how_often = "once" if failures == 1 else f"{failures} times in a row"
    return f"waits {in_words(round(pause.total_seconds()))}, since it failed {how_often}"


def _retire(replicas: Sequence[Replica], ending: Ending, *, at: datetime) -> None:
    """One that has no place yet just ends; the others drain."""
    changes = []
    for replica in replicas:
        if replica.state == states.PENDING:
            fields: dict[str, Any] = {"finished_at": at, "next_check_at": None}
            changes.append(Change(replica, states.STOPPED, "no longer needed", fields))
        else:
            routed = replica.state in (states.RUNNING, states.UNHEALTHY)
            drained = None if routed and not replica.run.abort else at
            fields = {"drained_at": drained, "next_check_at": at}
            why = _leaves(ending.get(replica.instance_id))
            changes.append(Change(replica, states.DRAINING, why, fields))
    transition_all(changes, at=at)


def _leaves(ends_at: datetime | None) -> str:
    return f"its cloud takes its spot machine back at {ends_at:%H:%M:%S} UTC" if ends_at else ""


def _settle(run: Run, verdict: decide.Verdict, *, at: datetime) -> None:
    next_check_at = None if verdict.state in states.RUN.final else _next_check_at(verdict, at)
    if verdict.promoted:
        Run.objects.filter(pk=run.pk).update(fallback=None)
    if verdict.state == run.state:
        sweep.set_next_check(run, at=next_check_at)
        return
    fields: dict[str, Any] = {"next_check_at": next_check_at}
    if verdict.state in states.RUN.final:
        fields["finished_at"] = at
    if verdict.state == states.FAILED:
        fields["error"] = verdict.reason
    if verdict.state == states.RUNNING and run.ready_at is None:
        fields["ready_at"] = at
    reason = EXPIRED if verdict.expired else verdict.reason
    if verdict.state == states.UPDATING:
        reason = f"version {run.version}"
    elif verdict.promoted:
        reason = f"version {run.version}, for the first time"
    transition(run, verdict.state, at=at, reason=reason, **fields)


def _next_check_at(verdict: decide.Verdict, at: datetime) -> datetime:
    return min(filter(None, [verdict.next_check_at, at + RESYNC_INTERVAL]))
