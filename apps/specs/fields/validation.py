"""Plain values -> a section of the configuration, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from apps.specs.errors import MOST_PROBLEMS, Misfit, Path, Step
from apps.specs.fields import foreign_keys
from apps.specs.fields.field_types import Section
from apps.specs.fields.scalars import found, shown
from apps.specs.fields.unsupported import NOT_YET

S = TypeVar("S", bound=Section)

# A section with more keys than this is not listed in a message.
_MOST_LISTED = 12
# No key that is known anywhere is longer.
_LONGEST_KEY = 60
# What may have been meant takes 2 ms a key to find: nobody slipped as often as this.
_MOST_ADVISED = 50


@dataclass(frozen=True)
class Wrong:
    """One problem of a value, before it has a place in a text; `line` counts within the value."""

    path: Path
    message: str
    at_key: bool = False
    line: int | None = None


def read_section(section: type[S], values: Mapping[str, Any]) -> tuple[S | None, list[Wrong]]:
    """Read a mapping; the section is None when something is wrong."""
    try:
        return section.model_validate(values), []
    except ValidationError as error:
        return None, [
            wrong
            for at, one in enumerate(error.errors()[: MOST_PROBLEMS + 1])
            for wrong in _translated(section, values, one, is_advised=at < _MOST_ADVISED)
        ]


def keys_of(section: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a section by the keys that people write."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _translated(
    section: type[Section], values: Mapping[str, Any], error: ErrorDetails, *, is_advised: bool
) -> Iterator[Wrong]:
    path = tuple(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, Misfit):
        for below, message in cause.problems:
            yield Wrong((*path, *below), message, at_key=message.startswith("unknown key"))
    elif error["type"] == "extra_forbidden":
        unknown = (
            _unknown_key(section, path) if is_advised else f"unknown key {shown(str(path[-1]))}"
        )
        yield Wrong(path, unknown, at_key=True)
    elif error["type"] == "missing":
        yield Wrong(path, _missing_key(section, values, path))
    elif error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        inner = _section_at(section, path)
        accepted = ", ".join(keys_of(inner)) if inner else "keys"
        yield Wrong(path, f"expected a mapping with {accepted}; {found(error['input'])}")
    elif error["type"] in ("list_type", "tuple_type"):
        yield Wrong(path, f"expected a list, {found(error['input'])}: write it as `- ...`")
    else:
        yield Wrong(path, f"{error['msg']}, {found(error['input'])}")


def _unknown_key(section: type[Section], path: Path) -> str:
    key = str(path[-1])
    holder = _section_at(section, path[:-1]) or section
    known = list(keys_of(holder))
    inner = _keys_inside(holder)
    if key in inner and foreign_keys.plainly(key) not in holder.foreign:
        return f"unknown key {shown(key)} here: did you mean {inner[key]}?"
    advice = foreign_keys.advice_for(key[:_LONGEST_KEY], known, holder.foreign)
    if advice:
        return f"unknown key {shown(key)}: {advice}"
    if len(known) > _MOST_LISTED:
        return f"unknown key {shown(key)}: there is no such key"
    return f"unknown key {shown(key)}; expected one of {', '.join(sorted(known))}"


def _keys_inside(holder: type[Section]) -> dict[str, str]:
    """Keys of the sections one level down: `gpu` -> `resources.gpu`."""
    inside: dict[str, str] = {}
    for outer, field in keys_of(holder).items():
        inner = _section_of(field.annotation)
        if inner is not None and outer not in NOT_YET:
            for key in keys_of(inner):
                inside.setdefault(key, f"{outer}.{key}")
    return inside


def _missing_key(section: type[Section], values: Mapping[str, Any], path: Path) -> str:
    holder = _section_at(section, path[:-1]) or section
    field = keys_of(holder).get(str(path[-1]))
    if _present(values, path):
        return "found no value"
    about = f": {field.description}" if field and field.description else ""
    return f"required key {path[-1]} is missing{about}"


def _present(values: Any, path: Path) -> bool:
    for step in path:
        if isinstance(values, Mapping) and step in values or _has_item(values, step):
            values = values[step]
        else:
            return False
    return True


def _has_item(values: Any, step: Step) -> bool:
    return isinstance(values, list) and isinstance(step, int) and step < len(values)


def _section_at(section: type[Section], path: Path) -> type[Section] | None:
    """The section that stands at a path of keys and list positions."""
    at: type[Section] | None = section
    for step in path:
        if isinstance(step, str) and at is not None:
            field = keys_of(at).get(step)
            at = _section_of(field.annotation) if field else None
    return at


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in get_args(annotation):
        inner = _section_of(argument)
        if inner is not None:
            return inner
    return None
