"""Lists in pages: `?limit=&cursor=` -> `{"items": [...], "next_cursor": ...}`.

A page goes on where the last one ended by value, not by number, so rows that come or go meanwhile
neither repeat nor hide others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet

from apps.core.errors import Detail, Invalid

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    next_cursor: str | None

    def as_json(self, shape: Callable[[Row], Any]) -> dict[str, Any]:
        return {"items": [shape(row) for row in self.rows], "next_cursor": self.next_cursor}


def page(
    rows: QuerySet[Row], *, by: str, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Row]:
    """Return the page after `cursor`, ordered by the unique field `by`.

    `by` is written as in `order_by`: "name", or "-id" for newest first. Raise Invalid for a limit
    or cursor that makes no sense.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise _invalid("limit", f"must be from 1 to {MAX_LIMIT}, found {limit}")
    field = by.removeprefix("-")
    if cursor:
        side = "lt" if by.startswith("-") else "gt"
        rows = rows.filter(**{f"{field}__{side}": _value(rows.model, field, cursor)})
    found = list(rows.order_by(by)[: limit + 1])
    more = len(found) > limit
    return Page(found[:limit], str(getattr(found[limit - 1], field)) if more else None)


def _value(model: type[models.Model], name: str, cursor: str) -> Any:
    field = model._meta.get_field(name)
    try:
        if not cursor.isprintable():
            raise ValueError(cursor)
        value = field.to_python(cursor)  # type: ignore[union-attr]
        if isinstance(value, int) and not 0 <= value < 2**63:
            raise ValueError(value)
    except (ValidationError, ValueError) as error:
        raise _invalid("cursor", "must be the `next_cursor` of the page before") from error
    return value


def _invalid(path: str, problem: str) -> Invalid:
    return Invalid(f"{path} {problem}.", details=[Detail(path, problem)])
