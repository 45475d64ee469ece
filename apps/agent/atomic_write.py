"""Files that are replaced in one step: also after a kill, one finds the old or the new.

Not synced: a file may be empty after a power cut, which readers take for missing.
"""

from __future__ import annotations

import contextlib
import os
import typing
from pathlib import Path


@contextlib.contextmanager
def replaced(
    path: Path, *, mode: int = 0o600, suffix: str = "new"
) -> typing.Iterator[typing.IO[bytes]]:
    """Yield a new file that takes the place of `path` at the end; an error leaves the old one.

    `suffix` tells those apart who may write the same file at once.
    """
    fresh = path.with_name(f"{path.name}.{suffix}")
    descriptor = os.open(str(fresh), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        yield file
    fresh.replace(path)


def write_text(path: Path, text: str) -> None:
    """Replace a file by this text; only its owner may read it."""
    with replaced(path) as file:
        file.write(text.encode())
