"""Command-line flags over a spec: a flag wins over the file, which wins over the profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.specs.errors import SpecError, SpecProblem, path_text
from apps.specs.fields.field_types import Section
from apps.specs.fields.validation import read_section
from apps.specs.sections.policy import Policy
from apps.specs.sections.resources import Resources
from apps.specs.sections.service import RunName, ServiceSpec

FLAGS = (
    "name", "max_price", "max_duration", "backends", "regions", "availability_zones",
    "instance_types", "spot_policy", "retry", "idle_duration", "gpu", "cpu", "memory", "disk",
)  # fmt: skip
_OF_RESOURCES = ("gpu", "cpu", "memory", "disk")


def apply_overrides(spec: ServiceSpec, overrides: Mapping[str, Any]) -> ServiceSpec:
    """Put flags, in the forms that the file accepts, over a spec.

    A flag that is None was not given. Raise SpecError with the flags' names as paths.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    problems = [
        SpecProblem(key, None, None, f"unknown flag; expected one of {', '.join(FLAGS)}")
        for key in given
        if key not in FLAGS
    ]
    own = {key: value for key, value in given.items() if key in FLAGS}
    wanted = {key: own.pop(key) for key in _OF_RESOURCES if key in own}
    update = _read(_Flags, own, problems)
    resources = _read(Resources, wanted, problems)
    if problems:
        raise SpecError(problems)
    written = {*spec.written, *own, *(f"resources.{key}" for key in wanted)}
    if wanted:
        update["resources"] = spec.resources.model_copy(update=resources)
        written.add("resources")
    return spec.model_copy(update={**update, "written": sorted(written)})


class _Flags(Policy):
    name: RunName = None


def _read(
    section: type[Section], given: dict[str, Any], problems: list[SpecProblem]
) -> dict[str, object]:
    """The meanings of the given flags by field name; what is wrong goes to `problems`."""
    flags, wrongs = read_section(section, given)
    problems += [SpecProblem(path_text(wrong.path), None, None, wrong.message) for wrong in wrongs]
    names = {key: field_name for field_name, key in _keys(section)}
    return {names[key]: getattr(flags, names[key]) for key in given} if flags else {}


def _keys(section: type[Section]) -> list[tuple[str, str]]:
    return [(name, field.alias or name) for name, field in section.model_fields.items()]
