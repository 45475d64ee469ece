"""By what the list of services is ordered, as its address says it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key")

LOOK, RUNNING, ASLEEP, OVER = range(4)


@dataclass(frozen=True)
class Column:
    """`largest_first` is what a first click on it shows: of text the first of the alphabet, of a
    number the largest."""

    key: str
    title: str
    largest_first: bool = False
    is_number: bool = False


COLUMNS = (
    Column("name", "Service"),
    Column("state", "State"),
    Column("replicas", "Replicas", largest_first=True, is_number=True),
    Column("requests", "Requests", largest_first=True, is_number=True),
    Column("p95", "p95", largest_first=True, is_number=True),
    Column("errors", "Errors", largest_first=True, is_number=True),
    Column("endpoint", "Endpoint"),
    Column("price", "Price", largest_first=True, is_number=True),
    Column("cost", "Cost", largest_first=True, is_number=True),
    Column("by", "By"),
    Column("age", "Age", is_number=True),
)
KEYS = {column.key for column in COLUMNS}
# What a service does comes first, whatever was asked for.
USUAL = "state"


@dataclass(frozen=True)
class Order:
    """By a column; `falling` is the largest, or the last of the alphabet, first."""

    key: str = USUAL
    falling: bool = False

    def __str__(self) -> str:
        return f"{'-' * self.falling}{self.key}"

    @property
    def is_usual(self) -> bool:
        return self == Order()


def read(text: str) -> Order:
    """Read `name` or `-cost`; what is no column is the usual order."""
    key = text.removeprefix("-")
    return Order(key, text.startswith("-")) if key in KEYS else Order()


def after_click(column: Column, order: Order) -> Order:
    """Return the order after a click on a column's title: its own, then the other way round."""
    if order.key == column.key:
        return Order(column.key, not order.falling)
    return Order(column.key, column.largest_first)


def by_value(
    keys: Sequence[Key], values: Mapping[Key, float | None], *, falling: bool
) -> list[Key]:
    """Order by a value; what has none comes last either way, equals stay as they were."""
    known = [(value, key) for key in keys if (value := values.get(key)) is not None]
    unknown = [key for key in keys if values.get(key) is None]
    known.sort(key=lambda pair: -pair[0] if falling else pair[0])
    return [key for _, key in known] + unknown
