"""Durations: whole seconds or a number with a unit (`90`, `"90"`, `5m`, `2 h`), as seconds."""

from __future__ import annotations

import re
from typing import Any

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import JsonSchema
from apps.specs.fields.scalars import found

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_PATTERN = re.compile(r"(\d{1,12})\s*([smhdw]?)", re.ASCII)
_ACCEPTED = "a duration: seconds or a number with s, m, h, d or w, such as 90 or 5m"

# Ten years: beyond any sense, and far below what a timestamp can hold.
LONGEST_SECONDS = 3650 * 86400

DURATION: JsonSchema = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": LONGEST_SECONDS},
        {"type": "string", "pattern": r"^\s*\d{1,12}\s*[smhdwSMHDW]?\s*$"},
    ]
}
# `true` is the default: somebody wrote that there shall be one, not which.
_WORDS: list[Any] = ["off", "never", "false", False, True]
DURATION_OR_OFF: JsonSchema = {"anyOf": [*DURATION["anyOf"], {"enum": _WORDS}]}
IDLE: JsonSchema = {"anyOf": [*DURATION["anyOf"], {"enum": [*_WORDS, -1, "-1"]}]}


def seconds(value: Any, *, least: int = 0, most: int = LONGEST_SECONDS) -> int:
    """Read a duration into seconds; bounds in seconds."""
    given = _seconds(value)
    if given < 0:
        raise Misfit(f"a duration cannot be negative, {found(value)}")
    if given < least:
        raise Misfit(f"expected at least {in_words(least)}, {found(value)}")
    if given > most:
        raise Misfit(f"expected at most {in_words(most)}, {found(value)}")
    return given


def seconds_or_off(
    value: Any, *, default: int | None, least: int = 0, minus_one: bool = False
) -> int | None:
    """Return a duration, None for `off` or `false`, the default for `true`. Raise Misfit.

    -1 is an older way to write `off`, for `minus_one` only.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    if word is True:
        return default
    if word is False or word in ("off", "false", "never"):
        return None
    if minus_one and word in (-1, "-1"):
        return None
    try:
        return seconds(value, least=least)
    except Misfit as misfit:
        raise Misfit(f"{misfit}; off is no limit") from misfit


def unending(amount: int | None) -> int:
    """Return a duration for whoever knows no `off`: as long as there can be."""
    return LONGEST_SECONDS if amount is None else amount


def in_words(amount: int) -> str:
    """Write seconds as people do: 300 -> `5m`."""
    for unit, size in reversed(_UNITS.items()):
        if amount and amount % size == 0 and unit != "w":
            return f"{amount // size}{unit}"
    return f"{amount}s"


def _seconds(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        given = value.strip().lower()
        parsed = _PATTERN.fullmatch(given.removeprefix("-"))
        if parsed:
            amount = int(parsed[1]) * _UNITS[parsed[2] or "s"]
            return -amount if given.startswith("-") else amount
    raise Misfit(f"expected {_ACCEPTED}, {found(value)}")
