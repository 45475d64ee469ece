"""Machines that exist though their rows are over: found by the backend's own list, and ended.

How one comes about: a backend makes the machine and its answer is lost each time it is asked, until
we give up; or it says that a machine is gone which is not. Only machines that carry this server's
id are touched: another server on the same account keeps its own. What no row knows is `unknown`'s.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from django.db.models import QuerySet

from apps.backends import identity
from apps.backends import services as backends
from apps.backends.base import OwnedInstance, Provider, ProviderError
from apps.backends.faults import leaving
from apps.backends.models import Backend
from apps.core.sweep import one_by_one
from apps.instances import calls, ending, states
from apps.instances.models import Instance
from apps.instances.strays import unknown

logger = logging.getLogger(__name__)

# A backend's list may still hold for a while what it has just ended.
GRACE = timedelta(minutes=2)


def collect_orphans(*, at: datetime) -> list[Instance]:
    """End every orphan of every backend; returns the rows that had one.

    A backend that does not answer is asked again the next time. Raise the first error that is none
    of a backend's, once all had their turn.
    """
    ended: list[Instance] = []
    if why := identity.why_held():
        logger.error(why)
        return ended
    open_ = Backend.objects.exclude(config=backends.FORGOTTEN).order_by("pk")
    one_by_one(open_, lambda backend: ended.extend(_collect(backend, at=at)))
    return ended


def _collect(backend: Backend, *, at: datetime) -> list[Instance]:
    server_id = backends.server_id()
    # Also those that it is not configured for any more, and those of one that was deleted before it
    # and whose account this may be.
    rows = _of_account(backend).exclude(region="").order_by()
    regions = list(rows.values_list("region", flat=True).distinct())
    try:
        listed = calls.ask(backend, lambda provider: provider.list_owned_in(server_id, regions))
    except calls.Busy:
        return []
    except ProviderError as error:
        logger.warning("no list of machines from %s: %s", backend, error)
        ending.nobody_answers(backend, error, at=at)
        return []
    found = _orphans(backend, listed, at=at)
    ended = [instance for instance, ref in found if _end(backend, instance, ref)]
    with contextlib.suppress(calls.Busy):
        unknown.collect(backend, listed, at=at)
    settled = backend.closed_at is not None and backend.closed_at <= at - GRACE
    is_empty = settled and not found and not backend.unknown_machines.exists()
    ending.forget_if_over(backend, is_empty=is_empty, at=at)
    return ended


def _orphans(
    backend: Backend, listed: Iterable[OwnedInstance], *, at: datetime
) -> list[tuple[Instance, str]]:
    """Return the rows that are over and have a machine there, with its reference."""
    owned = {pk: each.ref for each in listed if (pk := unknown.instance_id(each.name))}
    over = _of_account(backend).filter(
        pk__in=owned,
        state__in=states.INSTANCE.final,
        state_at__lte=at - GRACE,
    )
    return [(instance, owned[instance.pk]) for instance in over]


def _of_account(backend: Backend) -> QuerySet[Instance]:
    """Return the rows of all machines that may be in its account: also of backends that were
    deleted, and whose account this one is. One of the server may have those of every project."""
    rows = Instance.objects.filter(backend__kind=backend.kind)
    return rows.filter(backend__project=backend.project) if backend.project_id else rows


def _end(backend: Backend, instance: Instance, ref: str) -> bool:
    """Tell whether its end was asked for; one that is refused keeps no other."""
    logger.warning("machine %s of %s is an orphan", ref, instance.name)
    try:
        calls.ask(backend, partial(_terminate, ref=ref))
    except (ProviderError, calls.Busy) as error:
        logger.warning("orphan %s of %s is not ended yet: %s", ref, backend, error or "busy")
        return False
    named = ref if backend.project_id else instance.boot_name
    said = f"Its machine {named} was found still there and ended."
    Instance.objects.filter(pk=instance.pk).update(error=said)
    leaving.found(backend.kind, instance.boot_name)
    return True


def _terminate(provider: Provider, *, ref: str) -> None:
    provider.terminate(ref)
