"""How many tokens an answer says it used. Pure.

HAProxy reads short JSON answers itself. Of what passes through the sidecar the end is kept, which
is where a stream says it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

# As long as the longest JSON answer that HAProxy looks into.
MOST_END_BYTES = 15_000
# More is no count of tokens; as in HAProxy's rules.
MOST_TOKENS = 100_000_000

Tokens = tuple[int, int]
# Takes tokens in and out.
Counted = Callable[[int, int], None]


class Ending:
    """Keeps the end of an answer while it passes."""

    def __init__(self, content_type: str) -> None:
        self._is_stream = content_type == "text/event-stream"
        self._is_json = content_type == "application/json"
        self._end = b""

    def feed(self, piece: bytes) -> None:
        if self._is_stream or self._is_json:
            self._end = (self._end + piece)[-MOST_END_BYTES:]

    def tokens(self) -> Tokens | None:
        """This function will return the tokens in and out that were said, None where none were."""
        if self._is_json:
            return of_json(self._end)
        lines = (line for line in reversed(self._end.splitlines()) if line.startswith(b"data:"))
        return next((found for line in lines if (found := of_json(line[5:]))), None)


def of_json(text: bytes) -> Tokens | None:
    """This function will read `usage` of a JSON object; None where there is none."""
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
