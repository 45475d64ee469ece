"""The GPU language: `A100:40GB:2`, tokens in any order, or a mapping.

A token that begins with a letter is a vendor or a list of names, one that holds a letter is
memory, any other is a count. So `80GB` is memory and `80` means eighty GPUs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from apps.specs.errors import Misfit
from apps.specs.fields import foreign_keys
from apps.specs.fields.field_types import OWN, Form, JsonSchema, Section
from apps.specs.fields.ranges import COUNT_RANGE, MEMORY_RANGE, Range, count_range, memory_range
from apps.specs.fields.scalars import any_case, found, list_of, matching, shown
from apps.specs.yaml.tree import written

VENDORS = {
    "nvidia": "nvidia",
    "amd": "amd",
    "google": "google",
    "tpu": "google",
    "intel": "intel",
    "tenstorrent": "tenstorrent",
    "tt": "tenstorrent",
}
_ACCEPTED = "GPUs such as 80GB, A100, A100:2 or H100:80GB:1..8"
_name = matching(r"[A-Za-z0-9][A-Za-z0-9 ._+-]*", "a GPU name such as A100", limit=64)
_CAPABILITY = re.compile(r"(\d{1,2})(?:\.(\d{1,2}))?", re.ASCII)


def _names(value: Any) -> list[str]:
    if isinstance(value, str):
        value = value.split(",")
        if any(not name.strip() for name in value):
            raise Misfit("a GPU name is empty: remove the comma that has no name beside it")
    names = list_of(lambda name: _name(_stripped(name)), "GPU names")(value)
    if not names:
        raise Misfit("expected at least one GPU name, found none")
    return names


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _count(value: Any) -> Range:
    return count_range(value, of="a number of GPUs")


def _vendor(value: Any) -> str:
    vendor = VENDORS.get(value.strip().lower()) if isinstance(value, str) else None
    if vendor is None:
        raise Misfit(f"expected a vendor ({', '.join(VENDORS)}), {found(value)}")
    return vendor


def _capability(value: Any) -> tuple[int, int]:
    given = value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        given = written(value)
    elif isinstance(value, (list, tuple)) and len(value) == 2:
        given = ".".join(str(part) for part in value)
    parsed = _CAPABILITY.fullmatch(given.strip()) if isinstance(given, str) else None
    if not parsed:
        raise Misfit(f"expected a compute capability such as 7.5 or 8.0, {found(value)}")
    return int(parsed[1]), int(parsed[2] or 0)


_NAMES: JsonSchema = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
_CAPABILITIES: JsonSchema = {"type": ["number", "string", "array"]}
_VENDORS: JsonSchema = {
    "anyOf": [
        {"enum": list(VENDORS)},
        {"type": "string", "pattern": rf"^\s*({'|'.join(map(any_case, VENDORS))})\s*$"},
    ]
}


class Gpu(Section):
    """The GPUs of a replica; memory is per GPU, names compare without case."""

    foreign: ClassVar[Mapping[str, str]] = foreign_keys.GPU

    vendor: Annotated[str | None, Form(_vendor, _VENDORS)] = None
    name: Annotated[list[str], Form(_names, _NAMES)] = []
    count: Annotated[Range, Form(_count, COUNT_RANGE)] = Range(min=1, max=1)
    memory_mib: Annotated[Range | None, Form(memory_range, MEMORY_RANGE)] = Field(
        default=None, alias="memory"
    )
    total_memory_mib: Annotated[Range | None, Form(memory_range, MEMORY_RANGE)] = Field(
        default=None, alias="total_memory"
    )
    compute_capability: Annotated[tuple[int, int] | None, Form(_capability, _CAPABILITIES)] = None


GPU: JsonSchema = {
    "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"\S"}, OWN]
}


def read_gpu(value: Any) -> Any:
    """Read a count or a text of tokens; a mapping is left to the model."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Misfit(f"expected {_ACCEPTED}, {found(value)}")
    if isinstance(value, int):
        return Gpu.of(count=_count(value))
    if not value.strip():
        raise Misfit(f"expected {_ACCEPTED}, found nothing between the quotes")
    return _from_tokens(value)


def _from_tokens(value: str) -> Gpu:
    meanings: dict[str, object] = {}
    said: dict[str, str] = {}
    for token in (part.strip() for part in value.split(":")):
        if not token:
            raise Misfit(f"{shown(value)} has an empty part beside a colon: remove the colon")
        kind, meaning = _token(token)
        if kind in meanings:
            raise Misfit(_twice(value, kind, said[kind], token))
        meanings[kind], said[kind] = meaning, token
    return Gpu.of(**meanings)


def _twice(value: str, kind: str, first: str, second: str) -> str:
    word = kind.removesuffix("_mib")
    both = f"{shown(value)} gives the {word} twice, {shown(first)} and {shown(second)}"
    if kind == "name":
        return f"{both}: write names with commas, memory like 80GB and a count like 2"
    return f"{both}: each part may stand once"


def _token(token: str) -> tuple[str, object]:
    if token.lower() in VENDORS:
        return "vendor", _vendor(token)
    if token[0].isalpha():
        return "name", _flat(token)
    if any(character.isalpha() for character in token):
        return "memory_mib", memory_range(token)
    return "count", _count(token)


def _flat(token: str) -> list[str]:
    """The names of a token: what is wrong with one has no path of its own within a text."""
    try:
        return _names(token)
    except Misfit as misfit:
        raise Misfit(misfit.problems[0][1]) from misfit
