"""Ending machines: one, by itself or because a person wants it, or all of a backend that is to be
deleted; and forgetting backends that are over."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from apps.accounts.access import Access
from apps.agent import wire
from apps.backends import services as backends
from apps.backends.base import SERVER_TAG, ProviderError
from apps.backends.faults import leaving
from apps.backends.models import Backend
from apps.core.errors import Conflict
from apps.core.models import Event
from apps.core.transition import Change, Stale, transition, transition_all
from apps.instances import services, states
from apps.instances.models import Instance, Workload

HOST_WENT = "its host went away"
REASON = "its backend is being deleted"


def begin(instance: Instance, reason: str, *, at: datetime, actor: str = "") -> None:
    """Begin to end a machine. What ran there is replaced at once, however long its backend takes.

    Raise Stale where somebody else changed it meanwhile.
    """
    with transaction.atomic():
        transition(
            instance,
            states.TERMINATING,
            at=at,
            reason=reason,
            actor=actor,
            attempts=0,
            next_check_at=at,
        )
        left = list(instance.workloads.exclude(state=states.EXITED))
        services.end_workloads(left, reason=wire.REASON_HOST_STOPPED, message=HOST_WENT, at=at)


def terminate(instance: Instance, *, access: Access, at: datetime) -> None:
    """End a machine because a person wants it; one that ends already is no error.

    Raise Conflict for one that has ended, and for one that was there before this server.
    """
    if backends.is_standing(instance.backend_kind):
        raise Conflict(
            f"{instance.name} is no machine that this server made, so it cannot be terminated: "
            "stop the services that run there instead."
        )
    if instance.state == states.TERMINATING:
        return
    if instance.is_final:
        raise Conflict(f"{instance.name} has ended already.")
    try:
        begin(instance, "terminated by a person", at=at, actor=access.actor)
    except Stale:
        raise Conflict(f"{instance.name} changed meanwhile: look again.") from None


def end_all(backend: Backend) -> None:
    """End every machine of a backend, in a transaction: what ran there is placed elsewhere."""
    at = timezone.now()
    live = Instance.objects.select_for_update().filter(backend=backend, shared=False)
    # One that its cloud does not end is asked for now, not only when its turn comes again.
    live.filter(state=states.TERMINATING, attempts__gt=0).update(next_check_at=at)
    ending = list(
        live.filter(state__in=states.INSTANCE.unfinished)
        .exclude(state=states.TERMINATING)
        .order_by("pk")
    )
    fields = {"attempts": 0, "next_check_at": at}
    with transaction.atomic():
        changes = [Change(each, states.TERMINATING, REASON, dict(fields)) for each in ending]
        transition_all(changes, at=at)
        left = Workload.objects.filter(instance__in=ending).exclude(state=states.EXITED)
        services.end_workloads(list(left), reason=wire.REASON_HOST_STOPPED, message=REASON, at=at)


def let_go(instance: Instance, why: str, *, at: datetime) -> None:
    """Note that a machine is asked for no longer though it may run, so that its backend can go.

    Its row says so, and stays. Raise Stale where somebody else changed it meanwhile.
    """
    said = (
        f"{why}, and its backend is being deleted: machine {instance.boot_name} in "
        f"{instance.region} may still run there and cost ${instance.price_usd_per_hour:f} an hour. "
        f"It is tagged {SERVER_TAG}={backends.server_id()}: end it at the cloud, or connect the "
        "account again, and it is found and ended"
    )
    with transaction.atomic():
        leaving.note(instance.backend, _left(instance))
        transition(instance, states.FAILED, at=at, reason=said, next_check_at=None, error=said)
        left_work = list(instance.workloads.exclude(state=states.EXITED))
        services.end_workloads(left_work, reason=wire.REASON_HOST_STOPPED, message=HOST_WENT, at=at)


def _left(instance: Instance) -> leaving.Left:
    return leaving.Left(
        leaving.MACHINE,
        instance.boot_name,
        backends.id_of(instance.backend_kind, instance.ref),
        instance.region,
        instance.instance_type,
        float(instance.price_usd_per_hour),
    )


def forget_if_over(
    backend: Backend, *, is_empty: bool, at: datetime, is_listed: bool = True
) -> None:
    """Forget how a deleted backend was connected, once nothing of ours is left there.

    Where its cloud did not list that, what it may have made without our hearing of it is noted.
    """
    if backend.closed_at is None or backends.is_standing(backend.kind):
        return
    is_late = backend.closed_at < at - leaving.LONGEST_GOODBYE
    live = Instance.objects.filter(backend=backend, state__in=states.INSTANCE.unfinished)
    if (is_empty or is_late) and not live.exists():
        for instance in () if is_listed else _unconfirmed(backend):
            leaving.note(backend, _left(instance))
        backends.forget(backend)


def _unconfirmed(backend: Backend) -> QuerySet[Instance]:
    """Return the machines that were asked for and of which no answer came: what had been made of
    those before the last day was found by lists that were answered."""
    asked = Event.objects.filter(
        state_machine=states.INSTANCE.name, object_id=OuterRef("pk"), new=states.CREATING
    )
    # One that was refused at once was not made; one that failed later may have been, before.
    over = Q(state=states.TERMINATED) | Q(state=states.FAILED, attempts__gt=0)
    began = backend.ending_at or backend.closed_at or timezone.now()
    rows = Instance.objects.filter(over, Exists(asked), backend=backend, ref="", shared=False)
    return rows.filter(state_at__gte=began - leaving.LONGEST_GOODBYE).order_by("pk")


def nobody_answers(backend: Backend, error: ProviderError, *, at: datetime) -> None:
    """Forget a deleted backend also where its cloud does not know its credentials any more."""
    forget_if_over(backend, is_empty=error.is_fault_of_setup, at=at, is_listed=False)
