"""Ranges of whole numbers and of memory: `8`, `2..8`, `2..`, `..8`, `{min: 2, max: 8}`.

A single value means exactly that much. Memory counts in MiB; a bare number of it is GB.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import JsonSchema, Parts, Section
from apps.specs.fields.scalars import found, only_keys, whole
from apps.specs.yaml.tree import written

# What PostgreSQL's integer holds, and more than any machine has.
MOST_COUNT = 1_000_000
MOST_MEMORY_MIB = 1024 * 1024 * 1024

_MEMORY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)(mb|gb|tb)?", re.ASCII)
_MIB = {"mb": 1, "gb": 1024, "tb": 1024 * 1024}


def _range_schema(bound: JsonSchema, text: str) -> JsonSchema:
    edges = {
        "min": {"anyOf": [bound, {"type": "null"}]},
        "max": {"anyOf": [bound, {"type": "null"}]},
    }
    return {
        "anyOf": [
            bound,
            {"type": "string", "pattern": rf"^\s*({text})?\s*\.\.\s*({text})?\s*$"},
            {"type": "object", "properties": edges, "additionalProperties": False},
        ]
    }


_COUNT: JsonSchema = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\s*\d+\s*$"}]
}
_MEMORY_TEXT = r"\d+(\.\d+)?\s*([mMgGtT][bB])?"
MEMORY: JsonSchema = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": rf"^\s*{_MEMORY_TEXT}\s*$"},
    ]
}
COUNT_RANGE = _range_schema(_COUNT, r"\d+")
MEMORY_RANGE = _range_schema(MEMORY, _MEMORY_TEXT)


class Range(Section):
    """From `min` to `max`, both included; None is no bound on that side."""

    min: int | None = None
    max: int | None = None

    def holds(self, amount: int) -> bool:
        """Tell whether an amount lies within the range."""
        return (self.min is None or self.min <= amount) and (self.max is None or amount <= self.max)


def count_range(value: Any, *, of: str = "a whole number") -> Range:
    """Read a range of counts."""
    return _range(
        value,
        lambda bound: whole(bound, least=0, most=MOST_COUNT, of=of),
        f"{of} or a range such as 2..8",
    )


def memory_range(value: Any) -> Range:
    """Read a range of memory, in MiB."""
    return _range(value, memory_mib, "memory or a range of it, such as 16GB, 8GB.. or 24GB..80GB")


def memory_mib(value: Any) -> int:
    """Read an amount of memory: a number of GB, or text with MB, GB or TB."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Misfit(f"expected memory such as 16GB, {found(value)}")
    given = written(value) if isinstance(value, (int, float)) else value
    parsed = _MEMORY.fullmatch("".join(given.split()).lower())
    if not parsed:
        raise Misfit(f"expected memory in MB, GB or TB such as 512MB or 16GB, {found(value)}")
    mib = math.ceil(float(parsed[1]) * _MIB[parsed[2] or "gb"])
    if mib > MOST_MEMORY_MIB:
        raise Misfit(f"expected at most {MOST_MEMORY_MIB // _MIB['tb']}TB, {found(value)}")
    return mib


def _range(value: Any, bound: Callable[[Any], int], accepted: str) -> Range:
    if isinstance(value, Mapping):
        return _from_mapping(value, bound)
    if isinstance(value, str) and ".." in value:
        return _from_text(value, bound, accepted)
    if isinstance(value, (bool, list)) or value is None:
        raise Misfit(f"expected {accepted}, {found(value)}")
    exact = bound(value)
    return Range(min=exact, max=exact)


def _from_text(value: str, bound: Callable[[Any], int], accepted: str) -> Range:
    low, _, high = (part.strip() for part in value.partition(".."))
    if not low and not high:
        raise Misfit(f"a range needs a number on at least one side, {found(value)}")
    if ".." in high or high.startswith("."):
        raise Misfit(f"expected {accepted}, {found(value)}")
    return _ordered(bound(low) if low else None, bound(high) if high else None, value)


def _from_mapping(value: Mapping[str, Any], bound: Callable[[Any], int]) -> Range:
    given = only_keys(value, "min", "max")
    if not given:
        raise Misfit("a range needs min, max or both")
    parts = Parts()
    edges = {key: parts.read(key, bound, edge) for key, edge in given.items()}
    parts.done()
    low, high = edges.get("min"), edges.get("max")
    return _ordered(low, high, f"{given.get('min', '')}..{given.get('max', '')}")


def _ordered(low: int | None, high: int | None, written_as: str) -> Range:
    if low is not None and high is not None and low > high:
        raise Misfit(f"the range {written_as.strip()} runs backwards: write the smaller side first")
    return Range(min=low, max=high)
