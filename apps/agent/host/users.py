"""A user of its own for each replica, where the agent is root: 100000 + n, without a name.

The number is reserved for the whole host (two agents may run on it) by a file that names the
workload's folder; it is free again when that folder is gone. An ordinary user's agent runs its
replicas as itself: they are not shielded from it or from one another.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import typing
from pathlib import Path

FIRST_UID = 100000
COUNT = 50000
RESERVATIONS = Path("/run/dstack-agent-users")
FALLBACK_BASE = Path("/var/lib/dstack-agent")


def can_isolate() -> bool:
    """Tell whether this process may become another user (tried in a child)."""
    if os.geteuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(FIRST_UID, FIRST_UID, FIRST_UID)
            os.setresuid(FIRST_UID, FIRST_UID, FIRST_UID)
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def is_open_to_all(path: Path) -> bool:
    """Tell whether any user may pass through every folder above `path`."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in resolved.parents)


def take(folder: Path, *, reservations: Path = RESERVATIONS) -> int:
    """Reserve a user for the workload of this folder and return its uid.

    Asked again for the same folder it returns the same. Raise OSError when none is left.
    """
    reservations.mkdir(mode=0o700, exist_ok=True)
    with (reservations / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = _held(reservations)
        if str(folder) in held:
            return held[str(folder)]
        busy = set(held.values()) | _living()
        for uid in range(FIRST_UID, FIRST_UID + COUNT):
            if uid not in busy:
                (reservations / str(uid)).write_text(str(folder))
                return uid
    raise OSError(f"all users from {FIRST_UID} to {FIRST_UID + COUNT - 1} are taken")


def _held(reservations: Path) -> dict[str, int]:
    """The reservations by folder; those of folders that are gone are given up."""
    held = {}
    for file in reservations.iterdir():
        if not file.name.isdigit():
            continue
        folder = file.read_text()
        if Path(folder).exists():
            held[folder] = int(file.name)
        else:
            file.unlink()
    return held


def _living() -> set[int]:
    """Users that own a process now: a container without root may have been given these numbers."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found.add(entry.stat().st_uid)
    return found


def give(folder: Path, uid: typing.Optional[int]) -> None:
    """Make the user the owner of a folder and all in it; links are kept."""
    if uid is None:
        return
    os.lchown(str(folder), uid, uid)
    for parent, names, others in os.walk(str(folder)):
        for name in [*names, *others]:
            os.lchown(str(Path(parent) / name), uid, uid)
