"""Values of a stored spec in the words of the file that they came from. Pure.

The spec keeps `stop_duration_seconds: 300` and `memory_mib: {min: 8192, max: null}` where a person
wrote `stop_duration: 5m` and `memory: 8GB..`: people read their own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.specs.fields.durations import in_words

NOTHING = "none"
SECONDS, MIB = "_seconds", "_mib"
LONGEST_VALUE = 200
# Mappings that are one value in the file.
RANGE = frozenset({"min", "max"})


def key_of(key: str) -> str:
    """Return the key as it stands in the file."""
    return key.removesuffix(SECONDS).removesuffix(MIB)


def is_one_value(key: str, value: Any) -> bool:
    """Tell whether the file has one value here, although the spec has a mapping."""
    return isinstance(value, Mapping) and (set(value) == RANGE or key in _WHOLE)


def words(key: str, value: Any) -> str:
    """Write a value as the file has it, cut where it is long; `key` is the spec's."""
    text = _words(key, value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _words(key: str, value: Any) -> str:
    if value is None or value in ([], {}):
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(key, value)
    if isinstance(value, Mapping):
        return _mapping(key, value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_words(key, each) for each in value)}]"
    return str(value)


def _number(key: str, value: float) -> str:
    if key.endswith(SECONDS):
        return "off" if value < 0 else in_words(int(value)) if value == int(value) else f"{value}s"
    if key.endswith(MIB):
        return f"{value:g}MB" if value % 256 else f"{value / 1024:g}GB"
    return f"{value:.15g}"


def _mapping(key: str, value: Mapping[str, Any]) -> str:
    if set(value) == RANGE:
        return _range(key, value["min"], value["max"])
    if key in _WHOLE:
        return _WHOLE[key](value)
    shown = {name: each for name, each in value.items() if each is not None and each != []}
    return f"{{{', '.join(f'{key_of(n)}: {_words(n, each)}' for n, each in shown.items())}}}"


def _range(key: str, least: Any, most: Any) -> str:
    if least == most:
        return _words(key, least)
    return "..".join("" if bound is None else _words(key, bound) for bound in (least, most))


def _cpu(value: Mapping[str, Any]) -> str:
    parts = [value.get("arch"), value.get("count")]
    return ":".join(_words("count", part) for part in parts if part) or NOTHING


def _gpu(value: Mapping[str, Any]) -> str:
    names = ",".join(value.get("name") or [])
    parts = [value.get("vendor"), names, *(value.get(key) for key in ("memory_mib", "count"))]
    keys = ("vendor", "name", "memory_mib", "count")
    text = ":".join(_words(key, part) for key, part in zip(keys, parts, strict=True) if part)
    rest = {key: value.get(key) for key in ("total_memory_mib", "compute_capability")}
    more = [f"{key_of(key)} {_words(key, part)}" for key, part in rest.items() if part]
    return ", ".join([text, *more]) or NOTHING


def _port(value: Mapping[str, Any]) -> str:
    inside, outside = value.get("container_port"), value.get("local_port")
    return str(inside) if outside in (None, 80, inside) else f"{outside}:{inside}"


_WHOLE = {"cpu": _cpu, "gpu": _gpu, "port": _port}
