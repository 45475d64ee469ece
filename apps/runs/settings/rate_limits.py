"""The section of rate limits: a row for each, and empty ones to add some."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django import forms
from django.forms import BoundField

from apps.runs.planning.yaml_words import words
from apps.runs.settings.section import Changes, SectionForm, line, typed
from apps.specs.yaml.edit import Keys
from apps.specs.yaml.tree import Plain

EMPTY_ROWS = 2
COLUMNS = {
    "prefix": "Below the path",
    "rps": "Requests per second",
    "burst": "More at once",
    "header": "Counted by header",
}
NAME = re.compile(rf"(?:{'|'.join(COLUMNS)})_(\d{{1,2}})", re.ASCII)
PLACE = re.compile(r"rate_limits\[(\d+)\](?:\.(\w+))?")


class RateLimitsForm(SectionForm):
    key, title = "rate-limits", "Rate limits"
    about = "What one caller may send. An address counts as a caller, or the value of a header."
    paths: ClassVar[Mapping[str, Keys]] = {"prefix_0": ("rate_limits",)}

    def __init__(self, spec: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> None:
        self.rows_count = _rows(spec.get("rate_limits") or [], data) + EMPTY_ROWS
        # The rows that hold something, as they were sent: an item of the file each.
        self.filled: list[int] = []
        super().__init__(spec, data)
        self.fields.update(_fields(self.rows_count))

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for num, limit in enumerate(spec.get("rate_limits") or []):
            found[f"prefix_{num}"] = limit["prefix"]
            found[f"rps_{num}"] = words("rps", limit["rps"])
            found[f"burst_{num}"] = str(limit["burst"])
            found[f"header_{num}"] = limit["key"].get("header") or ""
        return found

    @property
    def rows(self) -> list[list[tuple[str, BoundField]]]:
        """Return the fields row by row, each with the title of its column."""
        return [
            [(label, self[f"{name}_{num}"]) for name, label in COLUMNS.items()]
            for num in range(self.rows_count)
        ]

    def changes(self) -> Changes:
        if not self.changed_data:
            return {}
        rows = range(self.rows_count)
        self.filled = [num for num in rows if any(self._typed(name, num) for name in COLUMNS)]
        limits: list[Plain] = [self._limit(num) for num in self.filled]
        return {("rate_limits",): limits or None}

    def field_of(self, path: str) -> str | None:
        found = PLACE.match(path)
        if found is None:
            return "prefix_0" if path == "rate_limits" else None
        place, key = int(found[1]), found[2] or "rps"
        name = {"key": "header"}.get(key, key)
        return (
            f"{name}_{self.filled[place]}" if place < len(self.filled) and name in COLUMNS else None
        )

    def _typed(self, name: str, num: int) -> str:
        text: str = self.cleaned_data.get(f"{name}_{num}", "")
        return text

    def _limit(self, num: int) -> Plain:
        limit = {name: typed(self._typed(name, num)) for name in ("prefix", "rps", "burst")}
        kept: dict[str, Plain] = {name: value for name, value in limit.items() if value is not None}
        if self._typed("header", num):
            kept["key"] = {"type": "header", "header": self._typed("header", num)}
        return kept


def _rows(limits: list[Any], data: Mapping[str, Any] | None) -> int:
    # At most a hundred rows by what is sent, however it is sent.
    sent = [int(found[1]) + 1 for name in data or {} if (found := NAME.fullmatch(name))]
    return max([len(limits), *(num - EMPTY_ROWS for num in sent)])


def _fields(count: int) -> Iterator[tuple[str, forms.Field]]:
    for num in range(count):
        for name, label in COLUMNS.items():
            said = f"{label}, row {num + 1}"
            attrs = {"aria-label": said, "class": "form-control"}
            yield f"{name}_{num}", line(said, **attrs)
