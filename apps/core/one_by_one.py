"""Working through rows so that one that cannot be worked on stops no other.

The outermost loop of a sweep: what fails is logged with its id, the others have their turn, and the
first error is raised at the end, so that whoever watches tasks sees it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


def one_by_one(rows: Iterable[T], do: Callable[[T], object]) -> None:
    """Do it with each row. Raise the first error once all had their turn."""
    first: Exception | None = None
    for row in rows:
        try:
            do(row)
        except Exception as error:
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
        except Exception:
            if len(batch) == 1:
                raise
            logger.exception("%d rows together fail: each is tried alone", len(batch))
            one_by_one(batch, lambda row: do([row]))

    one_by_one([rows[at : at + size] for at in range(0, len(rows), size)], together)
