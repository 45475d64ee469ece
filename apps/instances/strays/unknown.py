"""Machines of this server that no row knows, as after an older backup was restored: ended, later.

A backend tells which machines carry this server's id. One of them that is no instance's is noted,
and ended once it has been seen for `DSTACK_UNKNOWN_MACHINE_GRACE`; whoever restored an old backup,
or runs a copy of the database, has that long to see what would end. Machines of another server are
left alone, whatever else they are tagged with, and so is what is not named as this server names.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings

from apps.backends import services as backends
from apps.backends.base import SERVER_TAG, OwnedInstance, Provider, ProviderError
from apps.backends.models import Backend
from apps.instances import calls
from apps.instances.boot.failures import printable
from apps.instances.models import BOOT_NAME, Instance, UnknownMachine

logger = logging.getLogger(__name__)


def grace() -> timedelta:
    return timedelta(seconds=settings.DSTACK_UNKNOWN_MACHINE_GRACE_SECONDS)


def instance_id(name: str) -> UUID | None:
    """Return the instance that a machine of this name was made for; None for any other name."""
    try:
        found = UUID(name.removeprefix(BOOT_NAME))
    except ValueError:
        return None
    return found if name == f"{BOOT_NAME}{found}" else None


def collect(backend: Backend, listed: Iterable[OwnedInstance], *, at: datetime) -> list[str]:
    """Note which of these no row knows, and end those that were seen for long enough.

    Return the references of what was ended. Raise ProviderError and Busy as calls do.
    """
    if backends.is_standing(backend.kind):
        return []
    noted = _note(backend, _without_row(listed), at=at)
    due = [each for each in noted if (end := ends_at(each)) is not None and end <= at]
    return [each.ref for each in due if _end(backend, each)]


def ends_at(machine: UnknownMachine) -> datetime | None:
    """Return when it is ended, None where it is left to people."""
    return machine.first_seen_at + grace() if machine.name else None


def _without_row(listed: Iterable[OwnedInstance]) -> list[OwnedInstance]:
    """Rows of every backend count: two may be connected to the same account."""
    server_id = backends.server_id()
    ours = [each for each in listed if each.tags.get(SERVER_TAG, server_id) == server_id]
    named = {pk for each in ours if (pk := instance_id(each.name))}
    known = set(Instance.objects.filter(pk__in=named).values_list("pk", flat=True))
    return [each for each in ours if instance_id(each.name) not in known]


def _note(
    backend: Backend, found: Iterable[OwnedInstance], *, at: datetime
) -> list[UnknownMachine]:
    noted = []
    for each in found:
        told = {
            "ref": each.ref,
            "name": each.name if instance_id(each.name) else "",
            # Anybody who may tag in that account wrote these.
            "tags": {printable(str(k)): printable(str(v)) for k, v in each.tags.items()},
            "seen_at": at,
        }
        machine, is_new = UnknownMachine.objects.update_or_create(
            backend=backend,
            ref_hash=hashlib.sha256(each.ref.encode()).hexdigest(),
            defaults=told,
            create_defaults={**told, "first_seen_at": at},
        )
        if is_new:
            ends = f"ended at {ends_at(machine):%Y-%m-%d %H:%M} UTC" if machine.name else "left"
            logger.warning("no row knows machine %s of %s: %s", each.ref, backend, ends)
        noted.append(machine)
    kept = [machine.pk for machine in noted]
    UnknownMachine.objects.filter(backend=backend).exclude(pk__in=kept).delete()
    return noted


def _end(backend: Backend, machine: UnknownMachine) -> bool:
    """Tell whether its end was asked for; the backend's next list says whether it came."""
    logger.warning("machine %s of %s, which no row knows, is ended", machine.ref, backend)
    error = ""
    try:
        calls.ask(backend, partial(_terminate, ref=machine.ref))
    except ProviderError as refused:
        error = str(refused)
    UnknownMachine.objects.filter(pk=machine.pk).update(error=error)
    return not error


def _terminate(provider: Provider, *, ref: str) -> None:
    provider.terminate(ref)
