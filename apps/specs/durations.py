"""Durations: whole seconds or a number with a unit (`90`, `"90"`, `5m`, `2 h`), as seconds."""

from __future__ import annotations

import re
from typing import Any

from apps.specs.errors import Misfit
from apps.specs.forms import JsonSchema
from apps.specs.words import found

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
ENDLESS: JsonSchema = {
    "anyOf": [*DURATION["anyOf"], {"enum": ["off", "never", "false", False, -1, "-1"]}]
}


def seconds(value: Any, *, least: int = 0, most: int = LONGEST_SECONDS) -> int:
    """This function will read a duration into seconds; bounds in seconds."""
    given = _seconds(value)
    if given < 0:
        raise Misfit(f"a duration cannot be negative, {found(value)}")
    if given < least:
        raise Misfit(f"expected at least {in_words(least)}, {found(value)}")
    if given > most:
        raise Misfit(f"expected at most {in_words(most)}, {found(value)}")
    return given


def seconds_or_off(value: Any, *, least: int = 1) -> int | None:
    """This function will read a duration, or None for `off`, `false` and -1."""
    if value is False or value == -1:
        return None
    if isinstance(value, str) and value.strip().lower() in ("off", "false", "never", "-1"):
        return None
    if value is True:
        raise Misfit(f"expected {_ACCEPTED}, or off, {found(value)}")
    return seconds(value, least=least)


def in_words(amount: int) -> str:
    """This function will write seconds as people do: 300 -> `5m`."""
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
