"""Taking an agent's report: what is on the machine now."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.agent import wire
from apps.backends import services as backends
from apps.core import notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Invalid
from apps.core.transition import Change, Stale, transition, transition_all
from apps.instances import caches, interruptions, states
from apps.instances.boot import enrolment
from apps.instances.models import Instance, Workload
from apps.instances.tunnels import claims as tunnels

LAST_LINES = 20
TEXT = 2000
HARDWARE_CHARACTERS = 500_000
# No report is under way for longer: the agent waits 30 s for an answer.
GOODBYE_SETTLES = timedelta(seconds=30)
YEARS = range(2000, 2200)
ORDER = {state: rank for rank, state in enumerate(states.WORKLOAD.states)}


def take(*, instance: Instance, report: wire.Report, at: datetime) -> wire.Receipt:
    """Store a report; one that says nothing new writes one row.

    Workloads that are not the instance's are ignored: an agent speaks for its own machine only.
    """
    by_id = {workload.id: workload for workload in report.workloads}
    rows = [row for row in _unfinished(instance) if str(row.pk) in by_id]
    with transaction.atomic():
        _heard(instance, report, at=at)
        for row in rows:
            _write(row, by_id[str(row.pk)])
        _transit(rows, by_id, at=at)
    return wire.Receipt(Instance.objects.values_list("revision", flat=True).get(pk=instance.pk))


def _unfinished(instance: Instance) -> Sequence[Workload]:
    return list(instance.workloads.exclude(state=states.EXITED))


def _heard(instance: Instance, report: wire.Report, *, at: datetime) -> None:
    known = {
        "reported_at": at,
        "hostname": _text(report.hostname)[:255],
        "agent_version": _text(report.agent_version)[:50],
        "boot_id": _text(report.boot_id)[:100],
        "isolation": _text(report.isolation.level)[:16],
        "isolation_note": _text(_note(report.isolation)),
        "caches": caches.told(report),
    }
    Instance.objects.filter(pk=instance.pk).update(**known)
    caches.forget_cleared(instance, report)
    _note_key(instance, report.ssh_public_key)
    if instance.running_at is None:
        # Its backend was not asked yet: it runs, since its agent calls.
        Instance.objects.filter(pk=instance.pk, running_at=None).update(running_at=at)
    if report.hardware is not None and backends.is_standing(instance.backend_kind):
        _note_hardware(instance, wire.to_json(report.hardware))
    if report.spot_notice:
        interruptions.note(instance=instance, ends_at=_time(report.spot_notice), at=at)
    if report.stopping:
        _goodbye(instance, at=at)
    elif instance.state in (states.CREATING, states.BOOTING) or _is_back(instance, at):
        _ready(instance, at=at)


def _note_key(instance: Instance, said: str) -> None:
    """An agent that makes itself another key is known by that one from now on."""
    with contextlib.suppress(Invalid):
        key = enrolment.checked_key(said)
        if key and key != instance.public_key:
            tunnels.note_key(instance, key)


def _note_hardware(instance: Instance, said: dict[str, Any]) -> None:
    """Keep what a machine has; whoever offers it judges it."""
    found = _storable(said)
    if found == instance.hardware or len(json.dumps(found)) > HARDWARE_CHARACTERS:
        return
    Instance.objects.filter(pk=instance.pk).update(hardware=found)
    after_commit(notifications.transitioned, "instance", "measured", [instance.pk])


def _storable(said: Any) -> Any:
    if isinstance(said, str):
        return said.replace("\x00", "�")
    if isinstance(said, list):
        return [_storable(each) for each in said]
    return {key: _storable(each) for key, each in said.items()} if isinstance(said, dict) else said


def _goodbye(instance: Instance, *, at: datetime) -> None:
    """A machine that we made does not come back: nothing new is placed there, and its backend is
    asked at once. A standing one restarts its agent."""
    leaves = instance.state in (states.READY, states.IDLE)
    if leaves and not backends.is_standing(instance.backend_kind):
        with contextlib.suppress(Stale):
            transition(
                instance, states.LOST, at=at, reason="its agent said goodbye", next_check_at=at
            )


def _is_back(instance: Instance, at: datetime) -> bool:
    """A report that was under way when the agent said goodbye may come after it."""
    settled = at - instance.state_at >= GOODBYE_SETTLES
    return instance.state == states.LOST and (
        settled or backends.is_standing(instance.backend_kind)
    )


def _note(said: wire.Isolation) -> str:
    unbounded = f"nothing bounds their memory and number of processes: {said.unbounded}"
    return "; ".join(filter(None, (said.why, unbounded if said.unbounded else "")))


def _ready(instance: Instance, *, at: datetime) -> None:
    try:
        if instance.state == states.CREATING:
            # The agent was faster than the provider's answer; whoever waits for it notes the rest.
            return
        if instance.state == states.LOST:
            tunnels.machine_is_back(instance, at=at)
        transition(instance, states.READY, at=at, reason="its agent reported", next_check_at=at)
    except Stale:
        return


def _write(row: Workload, said: wire.WorkloadReport) -> None:
    """What may change without a change of state; a change of readiness wakes the replica."""
    fields: dict[str, Any] = {
        "ready": said.ready,
        "phase": _text(said.phase)[:200],
        "probe_message": _text(said.probe_message),
        "address": _text(said.address or "")[:300],
        # It stays known of what ended.
        "image_pin": _text(said.image_pin)[:600] or row.image_pin,
    }
    changed = {name: value for name, value in fields.items() if getattr(row, name) != value}
    if changed:
        Workload.objects.filter(pk=row.pk).update(**changed)
        for name, value in changed.items():
            setattr(row, name, value)
        after_commit(notifications.transitioned, "workload", "changed", [row.pk])


def _transit(
    rows: Sequence[Workload], said: dict[str, wire.WorkloadReport], *, at: datetime
) -> None:
    changes = [_change(row, said[str(row.pk)], at) for row in rows]
    transition_all([c for c in changes if ORDER.get(c.to, -1) > ORDER[c.row.state]], at=at)
    ended = [row.pk for row in rows if said[str(row.pk)].state == states.EXITED]
    tunnels.free(ended, at=at)


def _change(row: Workload, said: wire.WorkloadReport, at: datetime) -> Change:
    return Change(row, said.state, _text(said.message), _fields(said, at))


def _fields(said: wire.WorkloadReport, at: datetime) -> dict[str, Any]:
    fields: dict[str, Any] = {"started_at": _time(said.started_at)}
    if said.ready_at:
        fields["ready_at"] = _time(said.ready_at)
    if said.state == states.EXITED:
        fields |= {
            "ready": False,
            # Nobody starts it again.
            "secrets": "",
            "exited_at": _time(said.exited_at) or at,
            "exit_code": said.exit_code,
            "exit_reason": (said.reason or wire.REASON_EXITED)[:32],
            "message": _text(said.message),
            "last_lines": [_text(line) for line in said.last_lines[-LAST_LINES:]],
        }
    return fields


def _text(text: str) -> str:
    """PostgreSQL stores no NUL characters, and nobody reads a sentence of a megabyte."""
    return text.replace("\x00", "�")[:TEXT]


def _time(text: str | None) -> datetime | None:
    """Return a time of an agent's clock, None where it cannot be one: who adds to or takes from the
    first or last year that there is gets an error, and odd time zones are none to PostgreSQL."""
    try:
        found = parse_datetime(text) if text else None
        said = found and (found if timezone.is_aware(found) else found.replace(tzinfo=UTC))
        return said.astimezone(UTC) if said and said.year in YEARS else None
    except (ValueError, OverflowError):
        return None
