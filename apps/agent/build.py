"""The agent as one file: `agent.pyz`, which any Python >= 3.9 runs."""

from __future__ import annotations

import io
import os
import typing
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).parent
MAIN = "from apps.agent.__main__ import run\nrun()\n"
# One time for all entries, so that the same source gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
# Not of the agent's own process: it imports only these.
SUFFIX = ".py"


def build(target: Path) -> Path:
    """This function will write agent.pyz to `target` (replaced at once, mode 0644), return it.

    An agent that itself runs from such a file copies it. The same source gives the same bytes.
    """
    data = _own_archive() or _pack()
    if not target.exists() or target.read_bytes() != data:
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        fresh.write_bytes(data)
        fresh.chmod(0o644)
        fresh.replace(target)
    return target


def _own_archive() -> typing.Optional[bytes]:
    # .../agent.pyz/apps/agent/build.py
    archive = PACKAGE.parent.parent
    return archive.read_bytes() if archive.is_file() else None


def _pack() -> bytes:
    content = {"__main__.py": MAIN, "apps/__init__.py": ""}
    for path in sorted(PACKAGE.glob("*" + SUFFIX)):
        content[f"apps/agent/{path.name}"] = path.read_text(encoding="utf-8")
    buffer = io.BytesIO()
    # Not compressed: it is small, and unpacking would cost each shim a few milliseconds.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in content.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text)
    return b"#!/usr/bin/env python3\n" + buffer.getvalue()
