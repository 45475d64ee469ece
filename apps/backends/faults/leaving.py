"""What may be left in the account of a backend that is deleted while its cloud refuses its keys.

Whoever deletes it by force is not kept waiting for a cloud that does not listen: machines and
addresses are let go, and said here, so that a person can end them. Where their account is connected
again they are found by its own list, and ended.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts.models import Project
from apps.backends.base import ProviderError
from apps.backends.models import Backend

# So often in a row, over some minutes, a cloud refuses keys that are dead and not merely late.
MOST_REFUSALS = 5
# As long as a cloud that does not answer is asked for what it may have of a deleted backend.
LONGEST_GOODBYE = timedelta(days=1)
# As long as a person is told of it.
TOLD_FOR = timedelta(days=30)
MACHINE, ADDRESS = "machine", "address"


@dataclass(frozen=True)
class Left:
    """`name` is what this server calls it in the account, `ref` what the cloud does: "" where it
    never said whether it made it."""

    what: str
    name: str
    ref: str
    region: str
    instance: str = ""
    price_usd_per_hour: float = 0.0


def is_hopeless(
    backend: Backend, error: ProviderError | None, *, attempts: int, at: datetime
) -> bool:
    """Tell whether a backend that is being deleted is not asked any longer for what it has.

    `attempts` failed in a row; without an `error` it answers, and what was to end is still there.
    """
    if backend.ending_at is None:
        return False
    is_refused = error is not None and error.is_fault_of_setup and attempts >= MOST_REFUSALS
    return is_refused or backend.ending_at < at - LONGEST_GOODBYE


def note(backend: Backend, left: Left) -> None:
    """Keep that it may be there still; again is no error."""
    with transaction.atomic():
        row = Backend.objects.select_for_update().get(pk=backend.pk)
        kept = [each for each in row.left_behind if each["name"] != left.name]
        row.left_behind = [*kept, asdict(left)]
        row.save(update_fields=["left_behind"])


def found(kind: str, name: str) -> None:
    """Forget what was found after all, and is being ended."""
    with transaction.atomic():
        named = Backend.objects.filter(kind=kind, left_behind__contains=[{"name": name}])
        for row in named.select_for_update().order_by("pk"):
            row.left_behind = [each for each in row.left_behind if each["name"] != name]
            row.save(update_fields=["left_behind"])


def told(project: Project | None, *, at: datetime) -> QuerySet[Backend]:
    """Return the deleted backends, of a project or of the server, that left something behind."""
    over = Backend.objects.filter(project=project, closed_at__gte=at - TOLD_FOR)
    return over.exclude(left_behind=[]).order_by("-closed_at")


def of(backend: Backend) -> list[Left]:
    return [Left(**each) for each in backend.left_behind]
