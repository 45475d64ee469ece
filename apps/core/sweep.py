"""Taking rows that are due, so that each is worked on by one worker at a time.

A claim is one short statement: rows that are due (or named) and that nobody else is just claiming
are pushed `lease` into the future and handed out. A worker that dies leaves rows that simply become
due again; a worker that outlives its lease is stopped by the version check of the transition.

One row that cannot be worked on stops no other: what fails is logged with its id, the others have
their turn, and the first error is raised at the end, so that whoever watches tasks sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import QuerySet

from apps.core.models import Stateful

# 100 rows: at this size one statement costs about as much as the rows in it (measured: 2,600
# rows/s in batches of 100 against 237/s one by one).
BATCH = 100
LEASE = timedelta(seconds=30)

Row = TypeVar("Row", bound=Stateful)
T = TypeVar("T")

logger = logging.getLogger(__name__)


def due(rows: QuerySet[Row], *, at: datetime, limit: int = 10 * BATCH) -> list[Any]:
    """Return the ids of rows that are due, longest waiting first."""
    waiting = rows.filter(next_check_at__lte=at).order_by("next_check_at")
    return list(waiting.values_list("pk", flat=True)[:limit])


def claim(
    rows: QuerySet[Row], ids: Sequence[Any], *, at: datetime, lease: timedelta = LEASE
) -> list[Row]:
    """Lease the named unfinished rows that nobody else is claiming now.

    Rows come back in the order of their ids; those that another worker locks are left out (that
    worker is looking at them).
    """
    with transaction.atomic():
        free = rows.select_for_update(skip_locked=True, of=("self",)).order_by("pk")
        claimed = list(free.filter(pk__in=ids, next_check_at__isnull=False))
        model: Any = rows.model
        model._default_manager.filter(pk__in=[row.pk for row in claimed]).update(
            next_check_at=at + lease
        )
    return claimed


def set_next_check(row: Stateful, *, at: datetime | None) -> None:
    """Set when the sweep looks at the row next; None means never.

    Nothing is set where another worker moved the row meanwhile: its state has a time of its own,
    and one that is final is looked at no more.
    """
    same = type(row)._default_manager.filter(pk=row.pk, state_version=row.state_version)
    same.update(next_check_at=at)
    row.next_check_at = at


def one_by_one(rows: Iterable[T], do: Callable[[T], object]) -> None:
    """Do it with each row. Raise the first error once all had their turn."""
    first: Exception | None = None
    for row in rows:
        try:
            do(row)
        except Exception as error:  # the outermost loop of a task, which raises it in the end
            logger.exception("%s cannot be worked on", getattr(row, "pk", row))
            first = first or error
    if first is not None:
        raise first


def in_batches(rows: Sequence[T], do: Callable[[Sequence[T]], object], *, size: int) -> None:
    """Do it with so many rows at a time, and with each alone where it fails for them together.

    Raise the first error once all had their turn.
    """

    def together(batch: Sequence[T]) -> None:
        try:
            do(batch)
        except Exception:  # the same: whichever row it is of, it is raised in the end
            if len(batch) == 1:
                raise
            logger.exception("%d rows together fail: each is tried alone", len(batch))
            one_by_one(batch, lambda row: do([row]))

    one_by_one([rows[at : at + size] for at in range(0, len(rows), size)], together)
