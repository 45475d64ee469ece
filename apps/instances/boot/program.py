"""The agent as machines fetch it."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

from apps.agent import build


class Program(NamedTuple):
    """`sha256` is its version, too: the same source gives the same bytes."""

    content: bytes
    sha256: str


@cache
def program() -> Program:
    """Return it, built once a process."""
    content = build.content()
    return Program(content, hashlib.sha256(content).hexdigest())
