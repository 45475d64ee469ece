from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from apps.backends import services as backends
from apps.instances import reconcile
from apps.instances.costs import ledger
from apps.instances.models import Workload
from apps.instances.strays import orphans


@shared_task
def advance(*, ids: list[str], **_: Any) -> None:
    _advance([UUID(pk) for pk in ids])


@shared_task
def advance_of_workloads(*, ids: list[str], **_: Any) -> None:
    machines = Workload.objects.filter(pk__in=ids).values_list("instance_id", flat=True)
    _advance(list(machines.distinct()))


def _advance(ids: Sequence[UUID]) -> None:
    """One backend here, each other one in a task of its own: a slow one delays none."""
    first, *others = reconcile.by_backend(ids) or [[]]
    for group in others:
        advance.apply_async(kwargs={"ids": [str(pk) for pk in group]}, retry=False)
    reconcile.advance(ids=first, at=timezone.now())


@shared_task
def close_emptied(**_: Any) -> None:
    backends.close_emptied()


@shared_task
def collect_orphans(**_: Any) -> None:
    # What a lost hint left, too.
    backends.close_emptied()
    orphans.collect_orphans(at=timezone.now())


@shared_task
def book_charges(**_: Any) -> None:
    ledger.book(at=timezone.now())
