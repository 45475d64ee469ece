"""Small files that survive `kill -9`, and how times are written in them."""

from __future__ import annotations

import json
import time
import typing
from pathlib import Path

from apps.agent import atomic_write


def write_json(path: Path, data: typing.Any) -> None:
    """Replace the file at once; only its owner may read it (mode 0600)."""
    atomic_write.write_text(path, json.dumps(data))


def read_json(path: Path) -> typing.Optional[dict[str, typing.Any]]:
    """Return the object in the file; None where it is missing or no object.

    A file can be empty after a power cut, which is the same as missing.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def rfc3339(seconds: float) -> str:
    """Write a time, given as seconds since 1970, as RFC 3339 in UTC."""
    microseconds = round(seconds * 1_000_000)
    whole, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06d}Z"
