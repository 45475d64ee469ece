"""Ending all machines of a backend that is to be deleted, and forgetting backends that are over."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.agent import wire
from apps.backends import services as backends
from apps.backends.base import ProviderError
from apps.backends.models import Backend
from apps.core.transition import Change, transition_all
from apps.instances import services, states
from apps.instances.models import Instance, Workload

REASON = "its backend is being deleted"
# As long as a cloud is asked for what may be left of a backend that was deleted.
LONGEST_GOODBYE = timedelta(days=1)


def end_all(backend: Backend) -> None:
    """End every machine of a backend, in a transaction: what ran there is placed elsewhere."""
    at = timezone.now()
    live = Instance.objects.select_for_update().filter(backend=backend, shared=False)
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


def forget_if_over(backend: Backend, *, is_empty: bool, at: datetime) -> None:
    """Forget how a deleted backend was connected, once nothing of ours is left there."""
    if backend.closed_at is None or backends.is_standing(backend.kind):
        return
    is_late = backend.closed_at < at - LONGEST_GOODBYE
    live = Instance.objects.filter(backend=backend, state__in=states.INSTANCE.unfinished)
    if (is_empty or is_late) and not live.exists():
        backends.forget(backend)


def nobody_answers(backend: Backend, error: ProviderError, *, at: datetime) -> None:
    """Forget a deleted backend also where its cloud does not know its credentials any more."""
    forget_if_over(backend, is_empty=error.is_of_backend, at=at)
