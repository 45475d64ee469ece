"""What a cloud says of an account that several projects share.

Its sentences name accounts, roles and users of whoever pays. So a project reads of what kind a
failure was, and who may change the backend reads the sentence. The cloud of one project is that
project's own, and tells it all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.backends.base import ErrorKind, InstanceStatus, ProviderError
from apps.backends.models import Backend

logger = logging.getLogger(__name__)

# The newest that are kept, each at most so long.
KEPT, LONGEST = 50, 2000
WORDS: Mapping[ErrorKind, str] = MappingProxyType(
    {
        ErrorKind.CAPACITY: "Its cloud has no capacity for this now",
        ErrorKind.QUOTA: "The quota of its account is used up",
        ErrorKind.SETUP: "Its account is not set up for this",
        ErrorKind.CREDENTIALS: "Its cloud refuses the credentials",
        ErrorKind.THROTTLED: "Its cloud is asked too often now",
        ErrorKind.REFUSED: "Its cloud refused this",
        ErrorKind.UNREACHABLE: "Its cloud did not answer",
    }
)
WHO_SEES = "admins of this server read what it said on the backend's page"


@dataclass(frozen=True)
class Said:
    """A sentence of a cloud, when, and of which machine; "" where of none."""

    at: str
    about: str
    kind: str
    text: str

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.at)


def in_public(backend: Backend, error: ProviderError, *, about: UUID | None) -> ProviderError:
    """Return the error as whoever uses the backend may read it; the sentence is kept."""
    if backend.project_id is not None:
        return error
    _keep(backend, str(error), kind=error.kind, about=about)
    return ProviderError(
        f"{WORDS[error.kind]}; {WHO_SEES}",
        kind=error.kind,
        scope=error.scope,
        lifetime=error.lifetime,
    )


def status_in_public(backend: Backend, status: InstanceStatus, *, about: UUID) -> InstanceStatus:
    """Return what is told of a machine as whoever uses the backend may read it."""
    if backend.project_id is not None:
        return status
    if status.message and status.error is None:
        _keep(backend, status.message, kind="", about=about)
    error = status.error and in_public(backend, status.error, about=about)
    return replace(status, message="", error=error)


def of(backend: Backend, about: UUID | None = None) -> Iterator[Said]:
    """Return what its cloud said last, of one machine or of any, newest first."""
    for each in reversed(backend.said):
        said = Said(**each)
        if about is None or said.about == str(about):
            yield said


def _keep(backend: Backend, text: str, *, kind: str, about: UUID | None) -> None:
    logger.warning("the cloud of %s said of %s: %s", backend, about or "itself", text)
    text = " ".join(text.replace("\0", "").split())[:LONGEST]
    new = Said(timezone.now().isoformat(), str(about or ""), str(kind), text)
    with transaction.atomic():
        row = Backend.objects.select_for_update().filter(pk=backend.pk).first()
        if row is None:
            return
        others = [each for each in row.said if not _is_same(each, new)]
        row.said = [*others, asdict(new)][-KEPT:]
        row.save(update_fields=["said"])


def _is_same(kept: Mapping[str, str], new: Said) -> bool:
    return (kept["about"], kept["text"]) == (new.about, new.text)
