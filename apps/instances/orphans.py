"""Machines that exist though their rows are over: found by the backend's own list, and ended.

How one comes about: a backend makes the machine and its answer is lost each time it is asked, until
we give up; or it says that a machine is gone which is not. Only machines that carry the name of one
of our rows are touched, so another server on the same account keeps its own.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from apps.backends import services as backends
from apps.backends.base import BackendError, Owned
from apps.backends.models import Account
from apps.instances import states
from apps.instances.models import Instance

logger = logging.getLogger(__name__)

NAME = "dstack-"
# A backend's list may still hold for a while what it has just ended.
GRACE = timedelta(minutes=2)


def boot_name(instance: Instance) -> str:
    """This function will return the name under which a backend makes the instance's machine."""
    return f"{NAME}{instance.pk}"


def hunt(*, at: datetime) -> list[Instance]:
    """This function will end every orphan of every account; returns the rows that had one.

    A backend that does not answer is asked again the next time.
    """
    ended: list[Instance] = []
    for account in Account.objects.order_by("pk"):
        try:
            ended += _hunt(account, at=at)
        except BackendError as error:
            logger.warning("no list of machines from %s: %s", account, error)
    return ended


def _hunt(account: Account, *, at: datetime) -> list[Instance]:
    backend = backends.open_account(account)
    owned = {pk: each for each in backend.list_owned() if (pk := _pk(each))}
    over = Instance.objects.filter(
        pk__in=owned, account=account, state__in=states.INSTANCE.final, state_at__lte=at - GRACE
    )
    ended = []
    for instance in over:
        logger.warning("machine %s of %s is an orphan", owned[instance.pk].ref, instance.name)
        backend.terminate(owned[instance.pk].ref)
        said = f"Its machine {owned[instance.pk].ref} was found still there and ended."
        Instance.objects.filter(pk=instance.pk).update(error=said)
        ended.append(instance)
    return ended


def _pk(machine: Owned) -> UUID | None:
    try:
        return UUID(machine.name.removeprefix(NAME)) if machine.name.startswith(NAME) else None
    except ValueError:
        return None
