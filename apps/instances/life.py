"""The machine's life: asked for, made, watched, ended. Calls providers, so it runs in `outside`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.agent import wire
from apps.backends import services as backends
from apps.backends.base import (
    BackendError,
    BackendUnreachable,
    BadCredentials,
    Boot,
    Gpu,
    Hardware,
    Offer,
)
from apps.core import crypto, sweep
from apps.core.transition import Change, Stale, transition, transition_all
from apps.instances import decide, orphans, states
from apps.instances.models import Instance

logger = logging.getLogger(__name__)

# While this process was not there nobody could be heard, so silence counts from here at the most.
STARTED_AT = timezone.now()
CALL_LEASE = timedelta(minutes=5)
IDLE_AFTER = timedelta(minutes=5)
NO_CAPACITY, NO_BACKEND = "no-capacity", "no-backend"


def advance(*, ids: Sequence[UUID], at: datetime) -> None:
    """This function will take each instance one step on; provider calls included, one by one."""
    for instance in sweep.claim(Instance.objects.all(), ids, at=at, lease=CALL_LEASE):
        step = decide.next_step(_facts(instance), at=at)
        try:
            _do(instance, step, at=at)
        except Stale:
            continue  # whoever was faster has woken what comes next


def _facts(instance: Instance) -> decide.Facts:
    heard = max(filter(None, [instance.reported_at, STARTED_AT])) if instance.boot_id else None
    return decide.Facts(
        state=instance.state,
        shared=instance.shared,
        state_at=instance.state_at,
        heard_at=heard,
        idle_since=instance.idle_since,
        idle_after=IDLE_AFTER,
        live=instance.workloads.exclude(state=states.EXITED).count(),
    )


def _do(instance: Instance, step: decide.Step, *, at: datetime) -> None:
    if step.do == decide.CREATE:
        _create(instance, at=at)
    elif step.do == decide.TERMINATE:
        _terminate(instance, at=at)
    elif step.do == decide.WAIT:
        sweep.look_again(instance, at=step.look_at)
    else:
        moves: dict[str, tuple[str, dict[str, Any]]] = {
            decide.MARK_LOST: (states.LOST, {}),
            decide.MARK_IDLE: (states.IDLE, {"idle_since": at}),
            decide.MARK_READY: (states.READY, {"idle_since": None}),
            decide.BEGIN_END: (states.TERMINATING, {}),
        }
        to, fields = moves[step.do]
        transition(instance, to, at=at, reason=step.reason, next_check_at=at, **fields)


def _create(instance: Instance, *, at: datetime) -> None:
    if instance.state == states.REQUESTED:
        lease = at + CALL_LEASE
        transition(instance, states.CREATING, at=at, next_check_at=lease)
    boot = Boot(
        name=orphans.boot_name(instance),
        instance_id=str(instance.pk),
        url=settings.DSTACK_PUBLIC_URL,
        token=crypto.decrypt(instance.token),
    )
    try:
        ref = backends.open_account(instance.account).create(_offer(instance.offer), boot)
    except BackendUnreachable as error:
        _retry(instance, str(error), at=timezone.now())
    except BadCredentials as error:
        _fail(instance, NO_BACKEND, str(error), at=timezone.now())
    except BackendError as error:
        _fail(instance, NO_CAPACITY, str(error), at=timezone.now())
    else:
        try:
            _booted(instance, ref)
        except Stale:
            _end_if_over(instance, ref)
            raise


def _end_if_over(instance: Instance, ref: str) -> None:
    """Who slept in the call past its lease may have made a machine whose row others have ended."""
    if Instance.objects.filter(pk=instance.pk, state__in=states.INSTANCE.final).exists():
        logger.warning("machine %s of %s came too late", ref, instance.name)
        try:
            backends.open_account(instance.account).terminate(ref)
        except BackendError as error:
            # The hunt for orphans finds it.
            logger.warning("machine %s is not ended yet: %s", ref, error)


def _booted(instance: Instance, ref: str) -> None:
    now = timezone.now()
    transition(instance, states.BOOTING, at=now, ref=ref, next_check_at=now)
    # An agent on this very host may have called before the provider's answer was noted.
    heard = Instance.objects.filter(pk=instance.pk, reported_at__isnull=False).exists()
    if heard:
        transition(instance, states.READY, at=now, reason="its agent reported", next_check_at=now)


def _retry(instance: Instance, error: str, *, at: datetime) -> None:
    attempts = instance.attempts + 1
    if attempts >= decide.MAX_ATTEMPTS and instance.state == states.CREATING:
        _fail(instance, NO_BACKEND, error, at=at)
        return
    Instance.objects.filter(pk=instance.pk).update(
        attempts=attempts, error=error, next_check_at=at + decide.RETRY * 2 ** min(attempts, 6)
    )


def _fail(instance: Instance, exit_reason: str, error: str, *, at: datetime) -> None:
    with transaction.atomic():
        transition(instance, states.FAILED, at=at, reason=error, next_check_at=None, error=error)
        transition_all(_lose_workloads(instance, at, exit_reason, error), at=at)


def _terminate(instance: Instance, *, at: datetime) -> None:
    if instance.ref:
        try:
            backends.open_account(instance.account).terminate(instance.ref)
        except BackendError as error:
            # A machine that may still cost money is never given up: asked again, for ever.
            _retry(instance, str(error), at=timezone.now())
            return
    now = timezone.now()
    with transaction.atomic():
        transition(instance, states.TERMINATED, at=now, next_check_at=None)
        message = "its host went away"
        transition_all(_lose_workloads(instance, now, wire.REASON_HOST_STOPPED, message), at=now)


def _lose_workloads(instance: Instance, at: datetime, reason: str, message: str) -> list[Change]:
    fields = {"exit_reason": reason, "message": message, "ready": False, "exited_at": at}
    left = instance.workloads.exclude(state=states.EXITED)
    return [Change(workload, states.EXITED, message, fields) for workload in left]


def _offer(stored: dict[str, Any]) -> Offer:
    """The offer as it was kept. A newer server, which knows more of it, may have kept it."""
    hardware = dict(stored["hardware"])
    gpu = hardware.pop("gpu", None)
    whole = Hardware(**_known(Hardware, hardware), gpu=Gpu(**_known(Gpu, gpu)) if gpu else None)
    return Offer(**{**_known(Offer, stored), "hardware": whole})


def _known(kind: type, stored: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in stored.items() if name in names}
