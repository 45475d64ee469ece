"""The agent as one file: `agent.pyz`, which any Python >= 3.9 runs."""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import struct
import zipfile
from pathlib import Path

from apps.agent import atomic_write

PACKAGE = Path(__file__).parent
MAIN = "from apps.agent.__main__ import run\n\nrun()\n"
SHEBANG = b"#!/usr/bin/env python3\n"
# One time for all entries, so that the same source gives the same bytes.
EPOCH = (1980, 1, 1, 0, 0, 0)
# A .pyc that is not compared with its source (PEP 552).
UNCHECKED = 1


def build(target: Path, *, compiled: bool = False) -> Path:
    """Write agent.pyz to `target` (replaced at once, mode 0644), return it.

    The same source gives the same bytes. With `compiled` (whose bytes vary) it holds the code for
    the Python that runs now, too, which saves each shim the time to compile; other Pythons still
    run it.
    """
    data = content(compiled=compiled)
    if not target.exists() or target.read_bytes() != data:
        with atomic_write.replaced(target, mode=0o644, suffix=str(os.getpid())) as file:
            file.write(data)
    return target


def content(*, compiled: bool = False) -> bytes:
    """Return the bytes of agent.pyz."""
    sources = _sources()
    packed = {name: text.encode() for name, text in sources.items()}
    if compiled:
        packed.update({f"{name}c": _compile(name, text) for name, text in sources.items()})
    return SHEBANG + _zip(packed)


def _sources() -> dict[str, str]:
    """The agent's source by its name in the archive, from the archive that runs or the folder."""
    archive = PACKAGE.parent.parent  # .../agent.pyz/apps/agent
    if archive.is_file():
        with zipfile.ZipFile(str(archive)) as packed:
            names = [name for name in packed.namelist() if name.endswith(".py")]
            return {name: packed.read(name).decode() for name in names}
    sources = {"__main__.py": MAIN, "apps/__init__.py": ""}
    for path in sorted(PACKAGE.rglob("*.py")):
        sources[f"apps/agent/{path.relative_to(PACKAGE)}"] = path.read_text(encoding="utf-8")
    return sources


def _compile(name: str, text: str) -> bytes:
    code = compile(text, name, "exec", dont_inherit=True)
    source_hash = importlib.util.source_hash(text.encode())
    head = importlib.util.MAGIC_NUMBER + struct.pack("<I", UNCHECKED) + source_hash
    return head + marshal.dumps(code)


def _zip(content: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    # Not compressed: it is small, and unpacking would cost each shim a few milliseconds.
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data)
    return buffer.getvalue()
