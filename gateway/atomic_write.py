"""Files that are replaced in one step, so that a kill leaves the old or the new one."""

from __future__ import annotations

import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace a file by this text. Not synced: what a power cut takes the control plane has."""
    part = path.with_name(path.name + ".part")
    # Keys of certificates are among what is written so.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(handle, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    part.replace(path)
