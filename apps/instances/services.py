"""The verbs of instances: place a workload, stop it, end it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet

from apps.accounts.models import Project
from apps.agent import wire
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.base import Offer
from apps.backends.models import Backend
from apps.core import crypto, notifications
from apps.core.after_commit import after_commit
from apps.core.transition import Change, created, transition, transition_all
from apps.instances import states
from apps.instances.boot import credentials
from apps.instances.costs import in_use
from apps.instances.models import GATEWAY, REPLICA, Instance, Workload
from apps.instances.tunnels import claims as tunnels


@dataclass(frozen=True)
class NewWorkload:
    """What should run: `spec` has all of wire.WorkloadSpec but id, name, desired, GPUs and what is
    in `secrets`: {"env": {...}, "registry_password": ...}. A machine of its own is kept
    `idle_seconds` after it, for ever where that is None. `owner_id` is the replica's.
    Only a machine in one of `zones` is taken again, where any are given; a new one gets `tags`.
    Without `may_create` none is made. A gateway (`owner_kind`) has a new machine to itself, but
    for a host, which it shares.
    `tunnel_to` is the gateway that cannot dial it, None where
    that is on the same host."""

    run_id: UUID
    name: str
    spec: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)
    gpus: int = 0
    upload_blob: str = ""
    idle_seconds: int | None = None
    owner_id: UUID | None = None
    owner_kind: str = REPLICA
    tunnel_to: int | None = None
    zones: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    may_create: bool = True


NEVER_STARTED = "stopped before it started"


class NoRoom(Exception):
    """The machine of this offer cannot take the workload now: the next offer is tried."""


def place(
    *, project: Project, backend: Backend, offer: Offer, new: NewWorkload, at: datetime
) -> Workload:
    """Give the workload a machine: one that exists and fits, else a new one.

    The machine is only asked for here (`requested`); the call to the provider comes later, outside
    any transaction. Raise NoRoom when its GPUs are taken, or all ports of the gateway are, and
    OverLimit where the project may not have one more made.
    """
    with transaction.atomic():
        is_alone = new.owner_kind == GATEWAY and not offer.shared
        known = None if is_alone else _reusable(project, backend, offer, new.zones)
        instance = known or _request(project, backend, offer, new, at)
        instance = Instance.objects.select_for_update().get(pk=instance.pk)
        if instance.state == states.IDLE:
            # At once, so that nobody else takes it for idle, or ends it.
            fields: dict[str, Any] = {"idle_since": None, "next_check_at": at}
            transition(instance, states.READY, at=at, reason="has work", **fields)
        workload = Workload(
            instance=instance,
            run_id=new.run_id,
            owner_id=new.owner_id,
            owner_kind=new.owner_kind,
            name=new.name,
            state=states.WORKLOAD.initial,
            state_at=at,
            created_at=at,
            next_check_at=None,
            spec=new.spec,
            secrets=crypto.encrypt(new.secrets),
            upload_hash=new.spec.get("upload_hash") or "",
            upload_blob=new.upload_blob,
            gpu_indices=_free_gpus(instance, offer, new.gpus),
        )
        workload.save()
        created(workload, at=at)
        _claim_tunnel(workload, new.tunnel_to, at)
        Instance.objects.filter(pk=instance.pk).update(idle_seconds=new.idle_seconds)
        _changed(instance)
    return workload


def _claim_tunnel(workload: Workload, gateway_id: int | None, at: datetime) -> None:
    if gateway_id is None:
        return
    try:
        tunnels.claim(gateway_id=gateway_id, workload=workload, at=at)
    except tunnels.NoPort as error:
        raise NoRoom(str(error)) from None


def _reusable(
    project: Project, backend: Backend, offer: Offer, zones: Collection[str]
) -> Instance | None:
    """A shared host takes any number of replicas; another machine takes one of its project, and
    only while it is idle. A standing host that is lost comes back; of another that is lost
    nobody knows."""
    if offer.shared:
        away = {states.TERMINATING}
        away |= set() if backends.is_standing(backend.kind) else {states.LOST}
        live = [state for state in Instance.state_machine.unfinished if state not in away]
        return _hosts(backend, offer).filter(state__in=live).first()
    idle = Instance.objects.filter(
        # A machine that ran something of another project is none to share.
        project=project,
        backend=backend,
        region=offer.region,
        instance_type=offer.instance,
        state=states.IDLE,
        interrupted_at=None,
        offer__spot=offer.spot,
    )
    if zones:
        idle = idle.filter(zone__in=zones)
    return idle.select_for_update(skip_locked=True).order_by("idle_since").first()


def _hosts(backend: Backend, offer: Offer) -> QuerySet[Instance]:
    """Return the instances of a shared host. Only the server's own machine is that of every project
    that it was opened for: elsewhere two hosts of one name are two."""
    named = Instance.objects.filter(backend_kind=backend.kind, name=offer.instance, shared=True)
    return named if backend.kind == connected.LOCAL else named.filter(backend=backend)


def _request(
    project: Project, backend: Backend, offer: Offer, new: NewWorkload, at: datetime
) -> Instance:
    if not new.may_create and in_use.makes_a_machine(offer):
        raise NoRoom("no machine of it is idle")
    in_use.require(project, offer, at=at)
    _require_open(backend)
    instance = Instance(
        project=project,
        backend=backend,
        state=states.INSTANCE.initial,
        state_at=at,
        next_check_at=at,
        backend_kind=backend.kind,
        region=offer.region,
        instance_type=offer.instance,
        offer=dataclasses.asdict(offer),
        price_usd_per_hour=Decimal(str(offer.price_usd_per_hour)),
        shared=offer.shared,
        tags=dict(new.tags),
        **credentials.fresh(kind=backend.kind),
    )
    instance.name = offer.instance if offer.shared else f"dstack-{instance.pk}"
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError:
        # Another worker asked for the same shared host a moment ago: it is one machine.
        there = _hosts(backend, offer).get(state__in=Instance.state_machine.unfinished)
        if there.state == states.LOST and not backends.is_standing(backend.kind):
            raise NoRoom("its machine does not report") from None
        return there
    created(instance, at=at)
    return instance


def _require_open(backend: Backend) -> None:
    """Raise NoRoom where the backend was disabled or deleted since its offers were read.

    Who deletes it meanwhile waits for this transaction, and then finds the machine.
    """
    row = Backend.objects.select_for_update(no_key=True).filter(pk=backend.pk)
    if not row.filter(closed_at=None, ending_at=None, disabled_at=None).exists():
        raise NoRoom("its backend was disabled or deleted meanwhile")


def _free_gpus(instance: Instance, offer: Offer, wanted: int) -> list[int]:
    """GPUs of the offer's kind that no workload on the machine has. Raise NoRoom.

    The offer says what the machine has now; the one it was made from may be older than a GPU.
    """
    if not wanted:
        return []
    gpu = offer.hardware.gpu
    live = instance.workloads.exclude(state=states.EXITED)
    taken = {index for indices in live.values_list("gpu_indices", flat=True) for index in indices}
    free = [index for index in (gpu.numbers if gpu else ()) if index not in taken]
    if len(free) < wanted:
        kind, count = (gpu.name, gpu.count) if gpu else ("", 0)
        raise NoRoom(f"{len(free)} of {count} {kind} GPUs are free, {wanted} are needed")
    return free[:wanted]


def _changed(instance: Instance) -> None:
    """What should be on the machine changed: its agent's long poll answers."""
    Instance.objects.filter(pk=instance.pk).update(revision=F("revision") + 1)
    after_commit(notifications.publish, f"instance:{instance.pk}")


def tell_agent(instance: Instance) -> None:
    """Have its agent hear of something else than workloads that changed, in a transaction."""
    _changed(instance)


def stop_workloads(
    *, workloads: Sequence[Workload], at: datetime, stop_seconds: float | None = None
) -> None:
    """Ask agents to stop these workloads, within `stop_seconds` if given.

    What waits for an agent that never called is over at once: nothing of it runs anywhere.
    """
    if not workloads:
        return
    with transaction.atomic():
        heard = _lock({workload.instance_id for workload in workloads})
        for workload in workloads:
            fields: dict[str, Any] = {"desired": "stop"}
            if stop_seconds is not None:
                fields["spec"] = {**workload.spec, "stop_seconds": stop_seconds}
            changed = Workload.objects.filter(pk=workload.pk).exclude(state=states.EXITED)
            if stop_seconds is None:
                changed = changed.exclude(desired="stop")
            if changed.update(**fields):
                _changed(workload.instance)
        waiting = [workload for workload in workloads if workload.instance_id not in heard]
        end_workloads(waiting, reason=wire.REASON_STOPPED, message=NEVER_STARTED, at=at)


def end_workloads(
    workloads: Iterable[Workload], *, reason: str, message: str, at: datetime
) -> None:
    """Note that these workloads are over, whatever their agent would say."""
    fields = {
        "exit_reason": reason,
        "message": message,
        "ready": False,
        "exited_at": at,
        "secrets": "",
    }
    left = [workload for workload in workloads if workload.state != states.EXITED]
    with transaction.atomic():
        changes = [Change(workload, states.EXITED, message, fields) for workload in left]
        transition_all(changes, at=at)
        tunnels.free([workload.pk for workload in left], at=at)


def release(*, instance_ids: Collection[UUID]) -> None:
    """Keep these machines no longer than they have work: what they were made for was stopped."""
    Instance.objects.filter(pk__in=instance_ids, shared=False).update(idle_seconds=0)


def tell(instance: Instance) -> None:
    """Have its agent learn at once what should be there no more."""
    with transaction.atomic():
        _changed(instance)


def update_spec(*, workload: Workload, **changed: Any) -> None:
    """Tell its agent that these parts of what it runs are others now."""
    with transaction.atomic():
        _lock({workload.instance_id})
        live = Workload.objects.filter(pk=workload.pk).exclude(state=states.EXITED)
        if live.update(spec={**workload.spec, **changed}):
            _changed(workload.instance)


def _lock(instance_ids: Collection[UUID]) -> set[UUID]:
    """Lock machines before what is on them, as a report of their agents takes them: who did it the
    other way round waited for a report that waited for it. Return those whose agent called."""
    rows = Instance.objects.select_for_update().filter(pk__in=instance_ids).order_by("pk")
    return {pk for pk, heard_at in rows.values_list("pk", "reported_at") if heard_at is not None}
