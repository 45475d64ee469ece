"""How many tokens an answer that was translated says it used. Pure.

Into all other answers HAProxy looks: see gateway/haproxy/usage.lua.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# More is no count of tokens; as in HAProxy's program.
MOST_TOKENS = 100_000_000

Tokens = tuple[int, int]
# Takes tokens in and out.
Counted = Callable[[int, int], None]


def of_json(text: bytes) -> Tokens | None:
    """Return what `usage` of a JSON object says; None where there is none."""
    if b'"usage"' not in text:
        return None
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    usage = said.get("usage") if isinstance(said, dict) else None
    if not isinstance(usage, dict):
        return None
    return sane(usage.get("prompt_tokens")), sane(usage.get("completion_tokens"))


def sane(count: Any) -> int:
    return count if type(count) is int and 0 < count <= MOST_TOKENS else 0
