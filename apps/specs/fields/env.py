"""`env`: a list of `NAME=value` and `NAME`, or a mapping; meaning name -> value or None.

None is a value that must come from elsewhere: `-e`, the CLI's own environment, the deploy page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import JsonSchema, Parts
from apps.specs.fields.scalars import found, shown
from apps.specs.yaml.tree import written

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,255}", re.ASCII)

# Linux refuses to start a process when one `NAME=value` is longer than 128 KiB with its NUL.
_MOST_BYTES = 128 * 1024 - 1

ENV: JsonSchema = {
    "anyOf": [
        {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[a-zA-Z_][a-zA-Z0-9_]*(=[\s\S]*)?$"},
        },
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[a-zA-Z_][a-zA-Z0-9_]*$"},
            "additionalProperties": {"type": ["string", "number"]},
        },
    ]
}


def read_env(value: Any) -> dict[str, str | None]:
    """Read the environment in either form."""
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, (list, tuple)):
        return _from_list(value)
    raise Misfit(f"expected a list of NAME=value or a mapping, {found(value)}")


def env_name(name: str) -> str:
    """Check the name of an environment variable."""
    if not _NAME.fullmatch(name):
        raise Misfit(
            f"{shown(name)} is not a name of an environment variable: "
            "expected letters, digits and _, not beginning with a digit"
        )
    return name


def env_value(name: str, value: str) -> str:
    """Check that a process can be given this value."""
    if "\0" in value:
        raise Misfit(f"the value of {name} holds a NUL character: remove it")
    if len(name.encode()) + len(value.encode("utf-8", "replace")) + 1 > _MOST_BYTES:
        raise Misfit(f"the value of {name} is longer than 128 KiB: put it into a file")
    return value


def _from_mapping(value: Mapping[str, Any]) -> dict[str, str | None]:
    parts = Parts()
    env: dict[str, str | None] = {}
    for name, item in value.items():
        env[name] = parts.read(name, partial(_mapped, name), item)
    parts.done()
    return env


def _mapped(name: str, value: Any) -> str:
    env_name(name)
    if isinstance(value, bool):
        raise Misfit(f"{found(value)}: put it in quotes, the way the program shall see it")
    if isinstance(value, (int, float)):
        return written(value)
    if value is None:
        raise Misfit(
            f'found no value: write "" for an empty one; to give it at run time '
            f"write env as a list with `- {name}`"
        )
    if not isinstance(value, str):
        raise Misfit(f"expected text, {found(value)}")
    return env_value(name, value)


def _from_list(value: list[Any] | tuple[Any, ...]) -> dict[str, str | None]:
    parts = Parts()
    env: dict[str, str | None] = {}
    for at, item in enumerate(value):
        entry = parts.read(at, _entry, item)
        if entry is None:
            continue
        name, given = entry
        if name in env:
            parts.refuse(at, f"{name} is already in the list: keep one of them")
        env[name] = given
    parts.done()
    return env


def _entry(item: Any) -> tuple[str, str | None]:
    if isinstance(item, Mapping) and len(item) == 1:
        name = next(iter(item))
        raise Misfit(f"found a mapping: write `- {name}=value`, or env as a mapping without dashes")
    if not isinstance(item, str):
        raise Misfit(f"expected NAME=value or NAME, {found(item)}")
    name, sign, value = item.partition("=")
    return env_name(name), env_value(name, value) if sign else None
