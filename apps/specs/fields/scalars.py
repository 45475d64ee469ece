"""Readers of single values: text, flags, numbers, choices, lists; and names for what was found."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from apps.specs.errors import Misfit
from apps.specs.fields.field_types import JsonSchema, Parts
from apps.specs.yaml.tree import written

T = TypeVar("T")

# Control characters of ASCII and Latin-1, and the line and paragraph separators.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WHOLE = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", re.ASCII)
_FLAGS = {"true": True, "yes": True, "on": True, "1": True, "y": True, "t": True}
_FLAGS |= {"false": False, "no": False, "off": False, "0": False, "n": False, "f": False}

ANY_WHOLE: JsonSchema = {"type": ["integer", "string"]}


def found(value: object) -> str:
    """Name a value for a message: `found the number 3`."""
    if value is None:
        return "found nothing"
    if isinstance(value, bool):
        return f"found the yes/no value {str(value).lower()}"
    if isinstance(value, (int, float)):
        return f"found the number {written(value)}"
    if isinstance(value, str):
        return f"found {shown(value)}"
    if isinstance(value, Mapping):
        return "found a mapping"
    return "found a list"


def shown(text: str) -> str:
    """Quote a text for a message, shortened and without control characters."""
    short = text if len(text) <= 60 else text[:57] + "..."
    return repr(short) if _CONTROLS.search(short) else f'"{short}"'


def text(value: Any) -> str:
    """Read text of any length and any number of lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        raise Misfit(f"expected text, {found(value)}: put it in quotes")
    raise Misfit(f"expected text, {found(value)}")


def line(value: Any, *, limit: int = 1024) -> str:
    """Read text on one line, without control characters and outer blanks."""
    given = text(value)
    if not given.strip():
        raise Misfit("expected text, found nothing between the quotes")
    check_line(given, limit=limit)
    if given != given.strip():
        raise Misfit(f"{shown(given)} begins or ends with a blank: remove it")
    return given


def check_line(given: str, *, limit: int) -> None:
    """Raise Misfit for control characters and for more than `limit` of them."""
    control = _CONTROLS.search(given)
    if control:
        raise Misfit(
            f"holds the control character U+{ord(control.group()):04X}; "
            "expected one line of plain text"
        )
    if len(given) > limit:
        raise Misfit(f"has {len(given):,} characters; at most {limit:,}")


def matching(pattern: str, accepted: str, *, limit: int = 1024) -> Callable[[Any], str]:
    """Return a reader of one line that fits the pattern as a whole."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: Any) -> str:
        given = line(value, limit=limit)
        if not compiled.fullmatch(given):
            raise Misfit(f"expected {accepted}, {found(given)}")
        return given

    return read


def flag(value: Any) -> bool:
    """Read true or false, as YAML, as text or as 0 and 1."""
    if isinstance(value, bool):
        return value
    given = value.lower() if isinstance(value, str) else str(value)
    if isinstance(value, (str, int)) and given in _FLAGS:
        return _FLAGS[given]
    raise Misfit(f"expected true or false, {found(value)}")


def whole(value: Any, *, least: int, most: int, of: str = "a whole number") -> int:
    """Read a whole number within bounds; text that holds one counts too."""
    in_text = isinstance(value, str) and _WHOLE.fullmatch(value.strip())
    if in_text or isinstance(value, int) and not isinstance(value, bool):
        given = int(value)
        if least <= given <= most:
            return given
    raise Misfit(f"expected {of} from {least} to {most}, {found(value)}")


def number(value: Any) -> float:
    """Read a finite number; text that holds one counts too."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    raise Misfit(f"expected a number, {found(value)}")


def positive(value: Any, *, most: float = 1e9) -> float:
    """Read a number above 0."""
    given = number(value)
    if not 0 < given <= most:
        raise Misfit(f"expected a number above 0 and at most {most:,.0f}, {found(value)}")
    return given


def choice(*words: str) -> Callable[[Any], str]:
    """Return a reader of one of these words."""
    accepted = " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]

    def read(value: Any) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise Misfit(f"expected {accepted}, {found(value)}")

    return read


def list_of(reader: Callable[[Any], T], of: str, *, most: int = 1000) -> Callable[[Any], list[T]]:
    """Return a reader of lists whose items go through `reader`."""

    def read(value: Any) -> list[T]:
        if not isinstance(value, (list, tuple)):
            hint = ": write it as a list, `- ...`" if isinstance(value, str) else ""
            raise Misfit(f"expected a list of {of}, {found(value)}{hint}")
        if len(value) > most:
            raise Misfit(f"has {len(value):,} items; at most {most:,}")
        parts = Parts()
        items = [parts.read(at, reader, item) for at, item in enumerate(value)]
        parts.done()
        return [item for item in items if item is not None]

    return read


def mapping(value: Any, accepted: str) -> Mapping[str, Any]:
    """Return a mapping as it is, or say what was found instead of one."""
    if not isinstance(value, Mapping):
        raise Misfit(f"expected {accepted}, {found(value)}")
    return value


def only_keys(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return the keys that have a value, or refuse others by name."""
    parts = Parts()
    for key in value:
        if key not in keys:
            parts.refuse(key, f"unknown key; expected {' and '.join(keys)}")
    parts.done()
    return {key: item for key, item in value.items() if item is not None}


def any_case(word: str) -> str:
    """Return a pattern of a word in upper, lower or mixed case.

    JavaScript, where editors run the JSON Schema, knows no inline `(?i)`.
    """
    return "".join(f"[{c.lower()}{c.upper()}]" if c.isalpha() else re.escape(c) for c in word)


FLAG: JsonSchema = {
    "anyOf": [
        {"type": "boolean"},
        {"enum": [0, 1]},
        {"type": "string", "pattern": f"^({'|'.join(map(any_case, _FLAGS))})$"},
    ]
}
