"""Cron expressions: five fields (minute, hour, day, month, weekday), checked and kept as text."""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import available_timezones

from apps.specs.errors import Misfit
from apps.specs.fields.scalars import found, line, list_of, shown

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day", 1, 31, {}),
    ("month", 1, 12, {name: at + 1 for at, name in enumerate(_MONTHS)}),
    ("weekday", 0, 7, {name: at for at, name in enumerate(_DAYS)}),
)
_ITEM = re.compile(r"(\*|(\w{1,9})(?:-(\w{1,9}))?)(?:/(\d{1,3}))?", re.ASCII)


def read_cron(value: Any) -> list[str]:
    """Read one expression or a list of them."""
    if isinstance(value, str):
        return [_expression(value)]
    expressions = list_of(_expression, "cron expressions", most=100)(value)
    if not expressions:
        raise Misfit("expected at least one cron expression, found an empty list")
    return expressions


def _expression(value: Any) -> str:
    fields = line(value, limit=256).split()
    if len(fields) != len(_FIELDS):
        raise Misfit(
            "expected five fields (minute hour day month weekday) such as `0 8 * * mon-fri`, "
            f"{found(value)}"
        )
    for field, (name, least, most, names) in zip(fields, _FIELDS, strict=True):
        for item in field.lower().split(","):
            if not _fits(item, least, most, names):
                raise Misfit(f"the {name} {shown(field)} is not within {least}-{most}")
    return " ".join(fields)


def _fits(item: str, least: int, most: int, names: dict[str, int]) -> bool:
    parsed = _ITEM.fullmatch(item)
    if not parsed or parsed[4] and not 1 <= int(parsed[4]) <= most:
        return False
    edges = [_number(edge, names) for edge in (parsed[2], parsed[3]) if edge]
    return all(least <= edge <= most for edge in edges) and edges == sorted(edges)


def _number(word: str, names: dict[str, int]) -> int:
    return int(word) if word.isdigit() else names.get(word, -1)


def read_timezone(value: Any) -> str:
    """Read the name of a time zone, such as Europe/Berlin."""
    name = line(value, limit=64)
    if name not in available_timezones():
        raise Misfit(f"expected a time zone such as UTC or Europe/Berlin, {found(value)}")
    return name
