"""Small files that survive `kill -9`: each is written whole beside its place, then renamed."""

from __future__ import annotations

import json
import os
import time
import typing
from pathlib import Path


def write_json(path: Path, data: typing.Any) -> None:
    """This function will replace the file at once; only its owner may read it (mode 0600)."""
    write_text(path, json.dumps(data))


def write_text(path: Path, text: str, *, mode: int = 0o600) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def read_json(path: Path) -> typing.Optional[dict[str, typing.Any]]:
    """This function will return the object in the file; None where it is missing or no object.

    A file can be empty after a power cut, which is the same as missing.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def rfc3339(seconds: float) -> str:
    """This function will write a time, given as seconds since 1970, as RFC 3339 in UTC."""
    microseconds = round(seconds * 1_000_000)
    whole, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:06d}Z"
