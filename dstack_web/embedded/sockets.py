"""Where the unix sockets of the embedded servers lie.

A socket's path may be 107 bytes long and ends up inside URLs, so a home whose path is long or
unusual gets its sockets in a short private folder of the machine's runtime directory instead.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from dstack_web.processes import StartFailed

LONGEST_PATH_BYTES = 100
LONGEST_SOCKET_NAME = "/.s.PGSQL.5432.lock"
PLAIN = re.compile(r"[A-Za-z0-9._/-]+")


def socket_folder(preferred: Path) -> Path:
    """Make a folder, mode 0700, whose sockets have short and plain paths.

    It is `preferred` where that fits, else one in the runtime directory that is always the same
    for the same `preferred`. Raise StartFailed when that name belongs to another user.
    """
    folder = folder_for(preferred)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StartFailed(f"{folder} is not a folder of this user; remove it and start again")
    folder.chmod(0o700)
    return folder


def folder_for(preferred: Path) -> Path:
    return preferred if fits(preferred) else runtime_folder(preferred)


def fits(folder: Path) -> bool:
    text = str(folder)
    return (
        len(os.fsencode(text + LONGEST_SOCKET_NAME)) < LONGEST_PATH_BYTES
        and PLAIN.fullmatch(text) is not None
    )


def runtime_folder(preferred: Path) -> Path:
    name = hashlib.sha256(os.fsencode(preferred.absolute())).hexdigest()[:16]
    base = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if base.is_absolute() and base.is_dir() and fits(base / f"dstack-{name}"):
        return base / f"dstack-{name}"
    return Path("/tmp") / f"dstack-{os.geteuid()}-{name}"
