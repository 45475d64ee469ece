"""Files that are replaced in one step: also after a kill, one finds the old or the new.

What was written is on the disk before it takes the old one's place. Needs no Django.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

# Nobody writes one file for so long: who began was killed.
LEFTOVER_SECONDS = 86_400


@contextmanager
def replaced(path: Path, *, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the place of `path` at the end; an error leaves the old one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    partial.unlink(missing_ok=True)
    _clear_leftovers(path)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a file by this text; only its owner may read it."""
    with replaced(path) as file:
        file.write(text.encode())


def _clear_leftovers(path: Path) -> None:
    """Delete what killed writers of this file left beside it: a whole backup may be among it."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9]+\.[0-9]+")
    with suppress(OSError):
        for each in path.parent.iterdir():
            if name.fullmatch(each.name) and time.time() - each.stat().st_mtime > LEFTOVER_SECONDS:
                each.unlink()
