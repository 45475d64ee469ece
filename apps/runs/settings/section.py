"""What the sections of the Settings tab share: fields that are keys of the service's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from django import forms

from apps.core.errors import AppError, Detail
from apps.core.http.forms import PageForm
from apps.runs.planning.yaml_words import words
from apps.specs.yaml.edit import Keys
from apps.specs.yaml.tree import Plain, scalar

Changes = dict[Keys, Plain]
LONGEST = 200
PLACE_IN_LIST = re.compile(r"\[\d+\]")


class SectionForm(PageForm):
    """A section; `paths` says which key of the file each field is.

    An empty field is a key that is not in the file, so that its default counts.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str]
    # Where the service changed since the form was made: what it has now of what was typed.
    has_now: Sequence[str] = ()
    paths: ClassVar[Mapping[str, Keys]] = {}

    def __init__(self, spec: Mapping[str, Any], data: Mapping[str, Any] | None = None) -> None:
        self.spec = spec
        super().__init__(data, initial=self.values_of(spec), auto_id=f"{self.key}-%s")
        for field in self.fields.values():
            if isinstance(field.widget, forms.CheckboxInput | forms.CheckboxSelectMultiple):
                field.widget.attrs["class"] = "form-check-input"

    @classmethod
    def values_of(cls, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the fields by the normalised spec of a run."""
        return {name: shown(spec, path) for name, path in cls.paths.items()}

    def changes(self) -> Changes:
        """Return the keys whose values a person changed, and to what; None takes a key out."""
        changed = [name for name in self.changed_data if name in self.paths]
        return {self.paths[name]: typed(self.cleaned_data[name]) for name in changed}

    def field_of(self, path: str) -> str | None:
        """Return the field that a problem at this path of the file is about."""
        wrong = tuple(PLACE_IN_LIST.sub("", path).split("."))
        fitting = [
            (len(keys), name)
            for name, keys in self.paths.items()
            if wrong[: len(keys)] == keys or keys[: len(wrong)] == wrong
        ]
        # The deepest key that encloses it, else the first of those inside it.
        inside = [one for one in fitting if one[0] <= len(wrong)]
        return max(inside)[1] if inside else fitting[0][1] if fitting else None

    def refuse(self, error: AppError) -> None:
        """Show a refusal at the fields that it is about, else above them."""
        details = error.details or [Detail("", error.message)]
        for detail in details:
            field = self.field_of(detail.path) if detail.path else None
            about = f"{detail.path}: " if detail.path and field is None else ""
            self.add_error(field, f"{about}{detail.message}")

    def compare_with_now(self) -> None:
        """Note what the service has now where something else was typed."""
        self.has_now = [
            f"{self.fields[name].label}: {_in_words(self.initial.get(name))}"
            for name in self.changed_data
        ]


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = value if isinstance(value, list) else str(value or "").split("\n")
    return ", ".join(words) or "empty"


def line(label: str, help_text: str = "", **attrs: str) -> forms.CharField:
    """A field of one short line, which may be empty; the file's own rules say what is wrong."""
    widget = forms.TextInput(attrs={"autocomplete": "off", **attrs})
    return forms.CharField(
        label=label, help_text=help_text, required=False, max_length=LONGEST, widget=widget
    )


def typed(value: Any) -> Plain:
    """Return what a person typed as the file would have it: numbers stay as they were written."""
    if not isinstance(value, str):
        return cast(Plain, value)
    given = value.strip()
    meaning = scalar(given)
    is_number = isinstance(meaning, int | float) and not isinstance(meaning, bool)
    if is_number:
        return cast(int | float, meaning)
    return given or None


def shown(spec: Mapping[str, Any], path: Keys) -> str:
    """Return a value of the normalised spec in the words of the file, "" where there is none."""
    found: Any = spec
    for key in path:
        found = found or {}
        names = [key, f"{key}_seconds", f"{key}_mib"]
        name = next((one for one in names if one in found), key)
        found = found.get(name)
    return "" if found is None else words(name, found)
