"""How the tables of cases are written and used.

A case that is read: the keys of a service, and what they mean as `dotted.path: value` of
`to_json()`. A case that is refused: the keys with `¦` before the place of the error, its path,
and words of its message. Both are completed to a service by the keys that they lack.
"""

from __future__ import annotations

import re
from typing import Any

Read = tuple[str, dict[str, Any]]
Refused = tuple[str, str, str]

_BASE = {"type": "type: service", "commands": "commands: [echo]", "port": "port: 8000"}
MARK = "¦"


def service(keys: str) -> str:
    """Complete keys to a service; what is added stands behind them."""
    given = set(re.findall(rf"^{MARK}?(\w+):", keys, re.MULTILINE))
    if "image" in given or "groups" in given or "replicas: [" in keys:
        given.add("commands")
    added = [line for key, line in _BASE.items() if key not in given]
    return "\n".join([keys.rstrip("\n"), *added, ""])


def place(text: str) -> tuple[str, int, int]:
    """Return the text without its mark, and the mark's line and column."""
    before, mark, after = text.partition(MARK)
    assert mark, "a refused case marks the place of its error"
    return before + after, before.count("\n") + 1, len(before) - before.rfind("\n")


def part(value: Any, path: str) -> Any:
    """Return what stands at a dotted path."""
    for step in path.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value
