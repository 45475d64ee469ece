"""Enrolment: an agent that boots trades its one-time enrolment for a token that it made itself.

The server never sees that token, only its SHA-256. The same one again is fine, since an answer may
be lost; another one means that two machines have the enrolment: it is refused, and told.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.agent import wire
from apps.backends.faults import unheard
from apps.core import ids, notifications
from apps.core.after_commit import after_commit
from apps.core.errors import Invalid, NotSignedIn
from apps.core.models import Event
from apps.instances import decide
from apps.instances.boot import former
from apps.instances.boot.failures import printable
from apps.instances.models import Instance

KEY_KIND = "ssh-ed25519"
KEY = re.compile(rf"{KEY_KIND} ([A-Za-z0-9+/]{{68}})( [\x21-\x7e]{{0,100}})?")
ENROLMENT = re.compile(r"dsk_e_[0-9A-Za-z]{39}")
STEP_CHARACTERS = 100
SHA256 = re.compile(r"[0-9a-f]{64}")

TOLD = "somebody else used its enrolment: it may have leaked from the machine or from its backend"


class NotEnrolled(NotSignedIn):
    """The agent gets no answer but a sentence for its journal."""


def enrol(*, asked: wire.Enrolment, at: datetime) -> wire.Enrolled:
    """Give the instance of this enrolment the token of the agent that calls.

    Raise Invalid, NotEnrolled and Gone.
    """
    if not SHA256.fullmatch(asked.token_sha256):
        raise Invalid("`token_sha256` is not the SHA-256 of a token in 64 lower-case hex digits.")
    key = checked_key(asked.ssh_public_key)
    # Before the transaction, which would forget that it was told.
    former.refuse(enrolment=asked.enrolment)
    with transaction.atomic():
        instance = _of(asked.enrolment)
        is_let_in = _let_in(instance, asked.token_sha256, key, at=at)
    # Not while its machine is locked: whoever deletes a backend locks it before its machines.
    unheard.forget(instance.backend_id)
    if not is_let_in:
        raise NotEnrolled("Somebody else used this enrolment. End this machine and make another.")
    return wire.Enrolled(instance_id=str(instance.pk))


def note_step(*, told: wire.BootStep, at: datetime) -> None:
    """Keep what a machine does that has not enrolled yet. Raise NotEnrolled and Gone."""
    former.refuse(enrolment=told.enrolment)
    with transaction.atomic():
        instance = _of(told.enrolment)
        if instance.enrolled_at is not None or not _is_open(instance, at=at):
            raise _unknown()
        words = printable(told.step)[:STEP_CHARACTERS]
        Instance.objects.filter(pk=instance.pk).update(boot_step=words, boot_step_at=at)
    unheard.forget(instance.backend_id)


def _of(enrolment: str) -> Instance:
    """Return the instance of an enrolment, locked. Raise NotEnrolled."""
    if not ENROLMENT.fullmatch(enrolment):
        raise _unknown()
    unfinished = Instance.objects.filter(state__in=Instance.state_machine.unfinished)
    found = unfinished.filter(enrolment_hash=ids.token_hash(enrolment))
    instance = found.select_for_update().first()
    if instance is None:
        raise _unknown()
    return instance


def _let_in(instance: Instance, token_hash: str, key: str, *, at: datetime) -> bool:
    if instance.enrolled_at is not None:
        if hmac.compare_digest(instance.token_hash, token_hash):
            return True
        _tell(instance, at=at)
        return False
    if not _is_open(instance, at=at):
        raise _unknown()
    fields = {"token_hash": token_hash, "public_key": key, "enrolled_at": at}
    try:
        with transaction.atomic():
            Instance.objects.filter(pk=instance.pk).update(**fields)
    except IntegrityError:
        # The token of another instance: whoever sends it has not made it.
        raise _unknown() from None
    # From now on its own key is the one that opens its way through a gateway.
    after_commit(notifications.transitioned, "tunnel", "changed", [])
    return True


def _is_open(instance: Instance, *, at: datetime) -> bool:
    return decide.may_enrol(
        instance.state,
        state_at=instance.state_at,
        running_at=instance.running_at,
        boot_within=timedelta(seconds=settings.DSTACK_BOOT_DEADLINE_SECONDS),
        at=at,
    )


def _tell(instance: Instance, *, at: datetime) -> None:
    """Say it on the instance and among the project's events: once, however often it is tried."""
    project_id, run_id, label = instance.event_scope
    Event.objects.get_or_create(
        state_machine="enrolment",
        object_id=instance.pk,
        version=0,
        defaults={
            "old": "used",
            "new": "refused",
            "reason": TOLD,
            "project_id": project_id,
            "run_id": run_id,
            "label": label,
            "at": at,
        },
    )
    Instance.objects.filter(pk=instance.pk).update(error=TOLD)


def checked_key(text: str) -> str:
    """Return the key without its comment, "" where the agent could make none. Raise Invalid."""
    if not text:
        return ""
    found = KEY.fullmatch(text)
    try:
        blob = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        blob = b""
    if found is None or not blob.startswith(b"\x00\x00\x00\x0b" + KEY_KIND.encode()):
        raise Invalid(f"`ssh_public_key` is no public key of the kind {KEY_KIND}.")
    return f"{KEY_KIND} {found[1]}"


def _unknown() -> NotEnrolled:
    return NotEnrolled("This enrolment is unknown, or its time is over.")
