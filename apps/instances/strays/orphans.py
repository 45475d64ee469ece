"""Machines that exist though their rows are over: found by the backend's own list, and ended.

How one comes about: a backend makes the machine and its answer is lost each time it is asked, until
we give up; or it says that a machine is gone which is not. Only machines that carry this server's
id are touched: another server on the same account keeps its own. What no row knows is `unknown`'s.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial

from apps.backends import services as backends
from apps.backends.base import Provider, ProviderError
from apps.backends.models import Backend
from apps.instances import calls, ending, states
from apps.instances.models import Instance
from apps.instances.strays import unknown

logger = logging.getLogger(__name__)

# A backend's list may still hold for a while what it has just ended.
GRACE = timedelta(minutes=2)


def collect_orphans(*, at: datetime) -> list[Instance]:
    """End every orphan of every backend; returns the rows that had one.

    A backend that does not answer is asked again the next time.
    """
    ended: list[Instance] = []
    for backend in Backend.objects.exclude(config=backends.FORGOTTEN).order_by("pk"):
        try:
            found = _collect_orphans_of(backend, at=at)
            ended += found
            settled = backend.closed_at is not None and backend.closed_at <= at - GRACE
            is_empty = settled and not found and not backend.unknown_machines.exists()
            ending.forget_if_over(backend, is_empty=is_empty, at=at)
        except ProviderError as error:
            logger.warning("no list of machines from %s: %s", backend, error)
            ending.nobody_answers(backend, error, at=at)
        except calls.Busy:
            continue
    return ended


def _collect_orphans_of(backend: Backend, *, at: datetime) -> list[Instance]:
    server_id = backends.server_id()
    listed = calls.ask(backend, lambda provider: provider.list_owned(server_id))
    unknown.collect(backend, listed, at=at)
    owned = {pk: each for each in listed if (pk := unknown.instance_id(each.name))}
    over = Instance.objects.filter(
        pk__in=owned, backend=backend, state__in=states.INSTANCE.final, state_at__lte=at - GRACE
    )
    ended = []
    for instance in over:
        logger.warning("machine %s of %s is an orphan", owned[instance.pk].ref, instance.name)
        calls.ask(backend, partial(_terminate, ref=owned[instance.pk].ref))
        said = f"Its machine {owned[instance.pk].ref} was found still there and ended."
        Instance.objects.filter(pk=instance.pk).update(error=said)
        ended.append(instance)
    return ended


def _terminate(provider: Provider, *, ref: str) -> None:
    provider.terminate(ref)
