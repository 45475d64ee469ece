"""The verbs of instances: place a workload, stop it, say what should be on a machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from apps.accounts.models import Project
from apps.agent import wire
from apps.backends.base import Offer
from apps.backends.models import Account
from apps.core import crypto, ids, wake
from apps.core.transition import created, transition
from apps.instances import states
from apps.instances.models import Instance, Workload


@dataclass(frozen=True)
class Order:
    """What should run: `spec` has all of wire.WorkloadSpec but id, name, desired, GPUs and what is
    in `secrets`: {"env": {...}, "registry_password": ...}."""

    run_id: UUID
    name: str
    spec: dict[str, Any]
    secrets: dict[str, Any] = field(repr=False)
    gpus: int = 0
    upload_blob: str = ""


class NoRoom(Exception):
    """The machine of this offer cannot take the workload now: the next offer is tried."""


def place(
    *, project: Project, account: Account, offer: Offer, order: Order, at: datetime
) -> Workload:
    """Give the workload a machine: one that exists and fits, else a new one.

    The machine is only asked for here (`requested`); the call to the provider comes later, outside
    any transaction. Raise NoRoom when its GPUs are taken.
    """
    with transaction.atomic():
        instance = _reusable(account, offer) or _request(project, account, offer, at)
        instance = Instance.objects.select_for_update().get(pk=instance.pk)
        if instance.state == states.IDLE:
            # At once, so that nobody else takes it for idle, or ends it.
            fields: dict[str, Any] = {"idle_since": None, "next_check_at": at}
            transition(instance, states.READY, at=at, reason="has work", **fields)
        workload = Workload(
            instance=instance,
            run_id=order.run_id,
            name=order.name,
            state=states.WORKLOAD.initial,
            state_at=at,
            next_check_at=None,
            spec=order.spec,
            secrets=crypto.encrypt(order.secrets),
            upload_hash=order.spec.get("upload_hash") or "",
            upload_blob=order.upload_blob,
            gpu_indices=_free_gpus(instance, offer, order.gpus),
        )
        workload.save()
        created(workload, at=at)
        _changed(instance)
    return workload


def _reusable(account: Account, offer: Offer) -> Instance | None:
    """A shared host takes any number, of every project that may use it; another machine takes one
    replica, and only while it is idle."""
    if offer.shared:
        hosts = Instance.objects.filter(backend=offer.backend, name=offer.instance, shared=True)
        live = [s for s in Instance.machine.unfinished if s != states.TERMINATING]
        return hosts.filter(state__in=live).first()
    idle = Instance.objects.filter(
        account=account,
        region=offer.region,
        instance_type=offer.instance,
        state=states.IDLE,
        offer__spot=offer.spot,
    )
    return idle.select_for_update(skip_locked=True).order_by("idle_since").first()


def _request(project: Project, account: Account, offer: Offer, at: datetime) -> Instance:
    token = ids.new_token("a")
    instance = Instance(
        project=project,
        account=account,
        state=states.INSTANCE.initial,
        state_at=at,
        next_check_at=at,
        backend=offer.backend,
        region=offer.region,
        instance_type=offer.instance,
        offer=dataclasses.asdict(offer),
        price_usd_per_hour=Decimal(str(offer.price_usd_per_hour)),
        shared=offer.shared,
        token=crypto.encrypt(token),
        token_hash=ids.token_hash(token),
    )
    instance.name = offer.instance if offer.shared else f"dstack-{instance.pk}"
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError:
        # Another worker asked for the same shared host a moment ago: it is one machine.
        return Instance.objects.get(
            backend=offer.backend,
            name=instance.name,
            shared=True,
            state__in=Instance.machine.unfinished,
        )
    created(instance, at=at)
    return instance


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
    transaction.on_commit(lambda: wake.publish(f"instance:{instance.pk}"), robust=True)


def stop_workloads(*, workloads: Sequence[Workload], stop_seconds: float | None = None) -> None:
    """This function will ask agents to stop these workloads, within `stop_seconds` if given."""
    if not workloads:
        return
    with transaction.atomic():
        _lock({workload.instance_id for workload in workloads})
        for workload in workloads:
            fields: dict[str, Any] = {"desired": "stop"}
            if stop_seconds is not None:
                fields["spec"] = {**workload.spec, "stop_seconds": stop_seconds}
            changed = Workload.objects.filter(pk=workload.pk).exclude(state=states.EXITED)
            if stop_seconds is None:
                changed = changed.exclude(desired="stop")
            if changed.update(**fields):
                _changed(workload.instance)


def _lock(instance_ids: Collection[UUID]) -> None:
    """Machines before what is on them, as a report of their agents takes them: who did it the
    other way round waited for a report that waited for it."""
    rows = Instance.objects.select_for_update().filter(pk__in=instance_ids).order_by("pk")
    list(rows.values_list("pk"))


def assignment(*, instance: Instance) -> wire.Assignment:
    """This function will return all that should be on the machine; the environment in clear."""
    instance = Instance.objects.get(pk=instance.pk)
    live = instance.workloads.exclude(state=states.EXITED).order_by("pk")
    specs = [
        wire.from_json(
            wire.WorkloadSpec,
            {
                **workload.as_json(),
                **crypto.decrypt(workload.secrets),
                "gpu_indices": workload.gpu_indices,
            },
        )
        for workload in live
    ]
    return wire.Assignment(instance.revision, str(instance.pk), specs)
