"""An instance from its request to its end. Calls providers, so it runs in `outside`."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from apps.agent import wire
from apps.backends import services as backends
from apps.backends import way_home
from apps.backends.base import (
    Feature,
    InstanceState,
    InstanceStatus,
    Provider,
    ProviderError,
    Scope,
)
from apps.backends.faults import leaving, said, unheard
from apps.backends.registry import PROVIDERS
from apps.core import notifications, sweep
from apps.core.after_commit import after_commit
from apps.core.sweep import one_by_one
from apps.core.transition import Stale, transition
from apps.instances import calls, decide, ending, interruptions, services, states
from apps.instances.boot import failures, machine_spec
from apps.instances.models import GATEWAY, Instance, Workload
from apps.offers import blocked

Answer = TypeVar("Answer")
# What the column holds; how often it was is then no matter.
MOST_ATTEMPTS = 30_000
logger = logging.getLogger(__name__)

# While this process was not there nobody could be heard, so silence counts from here at the most.
STARTED_AT = timezone.now()
CALL_LEASE = timedelta(minutes=5)
HELD_LOOKED_AT = timedelta(seconds=30)
NO_CAPACITY, NO_BACKEND, NO_REGION = "no-capacity", "no-backend", "no-region"
NOT_BOOTED = "not-booted"


def advance(*, ids: Sequence[UUID], at: datetime) -> None:
    """Take each instance one step on; provider calls included, one by one."""
    claimed = sweep.claim(Instance.objects.all(), ids, at=at, lease=CALL_LEASE)
    one_by_one(claimed, lambda instance: _advance(instance, at=at))


def _advance(instance: Instance, *, at: datetime) -> None:
    if calls.is_held(instance.backend_kind):
        # Of machines that are another server's nothing is known here, and nothing decided.
        sweep.set_next_check(instance, at=at + HELD_LOOKED_AT)
        return
    try:
        status = _inspect(instance)
        facts = _facts(instance, status, at=at)
        if decide.is_taken_back(facts, at=at):
            is_gone = facts.seen in (InstanceState.GONE, InstanceState.FAILED)
            interruptions.note(instance=instance, at=at, is_gone=is_gone)
            facts = dataclasses.replace(facts, interrupted=True)
        _do(instance, decide.next_step(facts, at=at), status, at=at)
    except calls.Busy:
        # It stays due, for the sweep.
        sweep.set_next_check(instance, at=at)
    except Stale:
        return  # whoever was faster has woken what comes next


def by_backend(ids: Sequence[UUID]) -> list[list[UUID]]:
    """Return the ids in one list for each backend: none waits for the calls of another."""
    groups: dict[int, list[UUID]] = defaultdict(list)
    named = Instance.objects.filter(pk__in=ids).order_by("next_check_at")
    for pk, backend_id in named.values_list("pk", "backend_id"):
        groups[backend_id].append(pk)
    return list(groups.values())


def _inspect(instance: Instance) -> InstanceStatus | None:
    """Return what the backend says of a machine that does not speak for itself; None where it
    says nothing, and is asked again."""
    if not decide.asks(instance.state, has_ref=bool(instance.ref)):
        return None
    try:
        told = _ask(instance, lambda provider: provider.inspect(instance.ref))
        return said.status_in_public(instance.backend, told, about=instance.pk)
    except ProviderError as error:
        logger.warning("%s says nothing of %s: %s", instance.backend, instance.name, error)
        return None


def _ask(instance: Instance, question: Callable[[Provider], Answer]) -> Answer:
    return calls.ask(instance.backend, question, about=instance.pk)


def _facts(instance: Instance, status: InstanceStatus | None, *, at: datetime) -> decide.Facts:
    heard = max(filter(None, [instance.reported_at, STARTED_AT])) if instance.boot_id else None
    if status and status.state == InstanceState.RUNNING and instance.running_at is None:
        instance.running_at = at
        Instance.objects.filter(pk=instance.pk, running_at=None).update(running_at=at)
    if status and status.zone not in ("", instance.zone):
        instance.zone = status.zone[:64]
        Instance.objects.filter(pk=instance.pk).update(zone=instance.zone)
    if status and (console := failures.kept_console(status.console_tail)):
        Instance.objects.filter(pk=instance.pk).update(console_tail=console)
    live = instance.workloads.exclude(state=states.EXITED)
    kept = instance.idle_seconds
    return decide.Facts(
        state=instance.state,
        shared=instance.shared,
        standing=backends.is_standing(instance.backend_kind),
        state_at=instance.state_at,
        all_silent=instance.state == states.LOST and _all_silent(at=at),
        heard_at=heard,
        idle_since=instance.idle_since,
        idle_after=timedelta(seconds=kept) if kept is not None else None,
        seen=_seen(status),
        spot=instance.is_spot,
        notice=status.spot_notice if status else False,
        interrupted=instance.interrupted_at is not None,
        running_at=instance.running_at,
        boot_within=timedelta(seconds=settings.DSTACK_BOOT_DEADLINE_SECONDS),
        **live.aggregate(live=Count("pk"), wanted=Count("pk", filter=Q(desired="run"))),
    )


def _seen(status: InstanceStatus | None) -> InstanceState | None:
    """One whose making failed is known to have, and needs no time in which it may yet appear."""
    if status is None or status.error is None:
        return status.state if status else None
    return InstanceState.FAILED


def _all_silent(*, at: datetime) -> bool:
    """Tell whether there are several machines that we made and none of them is heard."""
    called = Instance.objects.filter(state__in=(states.READY, states.IDLE, states.LOST))
    standing = [kind for kind in PROVIDERS if backends.is_standing(kind)]
    ours = called.exclude(backend_kind__in=standing).filter(reported_at__isnull=False)
    return ours.count() > 1 and not ours.filter(reported_at__gte=at - decide.SILENT).exists()


def _do(
    instance: Instance, step: decide.Step, status: InstanceStatus | None, *, at: datetime
) -> None:
    if step.do == decide.CREATE:
        _create(instance, at=at)
    elif step.do == decide.TERMINATE:
        _terminate(instance)
    elif step.do == decide.FAIL_BOOT:
        _fail_boot(instance, step, status, at=at)
    elif step.do == decide.BEGIN_END:
        ending.begin(instance, step.reason, at=at)
    elif step.do == decide.NOTE_GONE:
        _end(instance, states.TERMINATED, step.reason, at=at)
    elif step.do in (decide.WAIT, decide.DROP_STOPPED):
        if step.do == decide.DROP_STOPPED:
            stopped = instance.workloads.filter(desired="stop")
            _end_workloads(stopped, wire.REASON_HOST_STOPPED, ending.HOST_WENT, at=at)
        sweep.set_next_check(instance, at=step.next_check_at)
    else:
        moves: dict[str, tuple[str, dict[str, Any]]] = {
            decide.MARK_LOST: (states.LOST, {}),
            decide.MARK_IDLE: (states.IDLE, {"idle_since": at}),
            decide.MARK_READY: (states.READY, {"idle_since": None}),
        }
        to, fields = moves[step.do]
        transition(instance, to, at=at, reason=step.reason, next_check_at=at, **fields)


def _create(instance: Instance, *, at: datetime) -> None:
    if instance.state == states.REQUESTED:
        lease = at + CALL_LEASE
        transition(instance, states.CREATING, at=at, next_check_at=lease)
    try:
        spec = machine_spec.wanted(instance)
    except way_home.NoWayHome as error:
        _fail(instance, NO_BACKEND, str(error), at=timezone.now())
        return
    try:
        ref = _ask(instance, lambda provider: provider.create(spec))
    except ProviderError as error:
        _not_made(instance, error, at=timezone.now())
    else:
        try:
            _booted(instance, ref)
        except Stale:
            _end_if_over(instance, ref)
            raise


def _not_made(instance: Instance, error: ProviderError, *, at: datetime) -> None:
    if error.is_passing and instance.attempts + 1 < decide.MAX_ATTEMPTS:
        _retry(instance, str(error), at=at)
        return
    if error.is_passing:
        error = _given_up(instance, error, at=at)
    _block(instance, error, reason=str(error), at=at)
    if error.scope is Scope.REGION and (error.is_fault_of_setup or error.is_passing):
        reason = NO_REGION
    else:
        reason = NO_BACKEND if error.is_of_backend or error.is_passing else NO_CAPACITY
    _fail(instance, reason, str(error), at=at)


def _given_up(instance: Instance, error: ProviderError, *, at: datetime) -> ProviderError:
    """Return what is held for true once a machine was asked for in vain again and again: its region
    is out and, where another one did not answer either, its whole cloud."""
    is_everywhere = blocked.is_out_elsewhere(instance.backend, instance.region, at=at)
    scope = Scope.BACKEND if is_everywhere else Scope.REGION
    return ProviderError(str(error), kind=error.kind, scope=scope)


def _block(
    instance: Instance, error: ProviderError | None, *, reason: str, zone: str = "", at: datetime
) -> None:
    """Before its replica looks for another place: so that nobody asks for the same again."""
    offer = machine_spec.offer_of(instance)
    backend = instance.backend
    blocked.block(backend=backend, offer=offer, error=error, reason=reason, zone=zone, at=at)


def _end_if_over(instance: Instance, ref: str) -> None:
    """Who asked for it may have made a machine whose row others have ended meanwhile."""
    row = Instance.objects.filter(pk=instance.pk)
    if row.filter(state=states.TERMINATING, ref="").update(ref=ref):
        return
    if row.filter(state__in=states.INSTANCE.final).exists():
        logger.warning("machine %s of %s came too late", ref, instance.name)
        try:
            _ask(instance, lambda provider: provider.terminate(ref))
        except (ProviderError, calls.Busy) as error:
            # The next collection of orphans finds it.
            logger.warning("machine %s is not ended yet: %s", ref, error)


def _booted(instance: Instance, ref: str) -> None:
    now = timezone.now()
    transition(instance, states.BOOTING, at=now, ref=ref, attempts=0, error="", next_check_at=now)
    # An agent on this very host may have called before the provider's answer was noted.
    heard = Instance.objects.filter(pk=instance.pk, reported_at__isnull=False).exists()
    if heard:
        transition(instance, states.READY, at=now, reason="its agent reported", next_check_at=now)


def _retry(instance: Instance, error: str, *, at: datetime) -> None:
    attempts = instance.attempts + 1
    same = Instance.objects.filter(pk=instance.pk, state_version=instance.state_version)
    same.update(
        attempts=min(attempts, MOST_ATTEMPTS),
        error=error,
        next_check_at=at + decide.BACKOFF.after(attempts),
    )
    after_commit(notifications.transitioned, states.INSTANCE.name, "retried", [instance.pk])


def _fail(instance: Instance, exit_reason: str, error: str, *, at: datetime) -> None:
    with transaction.atomic():
        transition(instance, states.FAILED, at=at, reason=error, next_check_at=None, error=error)
        _end_workloads(instance.workloads.all(), exit_reason, error, at=at)


def _never_called(instance: Instance, *, at: datetime) -> bool:
    """Tell whether it said nothing at all though it could have been heard; the machine of a gateway
    is called by this server.

    Nothing is said by one that has booted since before this server was started, maybe with another
    address; nor, of an account that projects share, by one that calls through a gateway: that is
    some project's, and so is what is wrong with it.
    """
    began = instance.running_at or instance.state_at
    is_heard = instance.enrolled_at or instance.boot_step or instance.reported_at
    if is_heard or began < STARTED_AT or backends.is_standing(instance.backend_kind):
        return False
    if instance.backend.project_id is None and instance.home_id is not None:
        return False
    own = instance.workloads.exclude(owner_kind=GATEWAY)
    return own.exists() and not _others_called(instance, at=at)


def _others_called(instance: Instance, *, at: datetime) -> bool:
    """Tell whether a machine of its backend found the way that there is now, and is heard."""
    others = Instance.objects.filter(backend=instance.backend, enrolled_at__gte=STARTED_AT)
    return others.filter(reported_at__gte=at - decide.SILENT).exists()


def _fail_boot(
    instance: Instance, step: decide.Step, status: InstanceStatus | None, *, at: datetime
) -> None:
    """An attempt that failed: its replica takes the next offer now, the machine ends meanwhile."""
    words = failures.sentence(
        # What the cloud calls it may name the account.
        ref=instance.ref if instance.backend.project_id else "",
        name=instance.name,
        reason=step.reason,
        message=status.message if status else "",
        console=status.console_tail if status else "",
    )
    fields: dict[str, Any] = {"boot_error": words, "error": words, "attempts": 0}
    error = status.error if status else None
    _block(instance, error, reason=words, zone=status.zone if status and error else "", at=at)
    with transaction.atomic():
        if step.is_silence and _never_called(instance, at=at):
            # First, as whoever deletes a backend locks it before its machines.
            unheard.note(instance.backend)
        transition(instance, states.TERMINATING, at=at, reason=words, next_check_at=at, **fields)
        _end_workloads(instance.workloads.all(), NOT_BOOTED, words, at=at)


def _terminate(instance: Instance) -> None:
    """A machine that may still cost money is never given up: it is asked for until it is gone, or
    until the person who deletes its backend by force is told where it may run on."""
    try:
        gone = not instance.ref or _ask(instance, partial(_ends, ref=instance.ref))
    except ProviderError as error:
        _not_ended(instance, error, at=timezone.now())
        return
    now = timezone.now()
    if not gone:
        if leaving.is_hopeless(instance.backend, None, attempts=0, at=now):
            ending.let_go(instance, "its cloud has not ended it for a day", at=now)
            return
        sweep.set_next_check(instance, at=now + decide.INSPECTED)
        return
    with transaction.atomic():
        if Instance.objects.select_for_update().get(pk=instance.pk).ref != instance.ref:
            # Made after all, by a call that took its time.
            sweep.set_next_check(instance, at=now)
            return
        to = states.FAILED if instance.boot_error else states.TERMINATED
        _end(instance, to, instance.boot_error, at=now)


def _not_ended(instance: Instance, error: ProviderError, *, at: datetime) -> None:
    attempts = instance.attempts + 1
    if leaving.is_hopeless(instance.backend, error, attempts=attempts, at=at):
        ending.let_go(instance, str(error).rstrip("."), at=at)
    else:
        _retry(instance, str(error), at=at)


def _ends(provider: Provider, *, ref: str) -> bool:
    """Ask for the machine's end; tell whether it has come. Of a standing machine nothing ends but
    what is ours on it."""
    provider.terminate(ref)
    if Feature.STANDING in provider.features:
        return True
    return provider.inspect(ref).state == InstanceState.GONE


def _end(instance: Instance, to: str, reason: str, *, at: datetime) -> None:
    blocked.lift_quotas(backend=instance.backend, region=instance.region)
    with transaction.atomic():
        transition(instance, to, at=at, reason=reason, next_check_at=None)
        _end_workloads(instance.workloads.all(), wire.REASON_HOST_STOPPED, ending.HOST_WENT, at=at)


def _end_workloads(
    workloads: QuerySet[Workload], reason: str, message: str, *, at: datetime
) -> None:
    left = list(workloads.exclude(state=states.EXITED))
    services.end_workloads(left, reason=reason, message=message, at=at)
