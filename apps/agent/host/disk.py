"""How much of the disk a workload's folder takes, its private /tmp included, and how much it may.

A folder may hold millions of files, so a look goes through it in short pieces, one at each sample,
and begins only where a minute has passed or the disk has lost much of what was left to the bound.
A file that was removed while it is open is in no folder and not counted.
"""

from __future__ import annotations

import os
import shutil
import time
import typing
from pathlib import Path

from apps.agent import wire

LOOK_SECONDS = 60.0
PIECE_SECONDS = 0.2
# A look is due at once when the disk lost this part of what a workload had left.
HASTE = 4
SETTING = "DSTACK_REPLICA_DISK_GB"
# Without a setting: the part of its disk that one replica may have.
DEFAULT_SHARE = 2
MIB, GIB = 2**20, 2**30


def bound(spec: wire.WorkloadSpec, folder: Path, *, setting: str) -> typing.Optional[int]:
    """Return how many bytes the workload may have on the disk; None where it is not ours to say.

    A setting that is no positive number counts as none.
    """
    if spec.executor != "process":
        return None
    if spec.disk_limit_mib is not None:
        return spec.disk_limit_mib * MIB
    try:
        gib = float(setting)
    except ValueError:
        gib = 0.0
    if 0 < gib < 2**40:
        return int(gib * GIB)
    return share(folder)


def share(folder: Path) -> typing.Optional[int]:
    """Return how many bytes may lie there without a setting; None where that is not known."""
    try:
        return shutil.disk_usage(folder).total // DEFAULT_SHARE
    except OSError:
        return None


def over(size: int, limit: int) -> str:
    """Return the sentence for a workload that is ended for this."""
    return (
        f"it had {in_words(size // MIB)} of files in its folder and /tmp, more than the "
        f"{in_words(limit // MIB)} of disk that it may have, and was ended"
    )


def in_words(mib: int) -> str:
    """Return a size as a person says it: 64 MiB, 20.1 GiB."""
    return f"{mib} MiB" if mib < 1024 else f"{round(mib / 1024, 1):g} GiB"


class Walk:
    """A sum over a folder that can be interrupted; `total` is what it has so far."""

    def __init__(self, folder: Path) -> None:
        self.total = 0
        self._waiting = [str(folder)]

    def go_on(self, *, seconds: float) -> bool:
        """Sum up for a while; return whether that was all."""
        give_up_at = time.monotonic() + seconds
        while self._waiting and time.monotonic() < give_up_at:
            try:
                with os.scandir(self._waiting.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            self._waiting.append(entry.path)
                        self.total += entry.stat(follow_symlinks=False).st_blocks * 512
            except OSError:
                continue  # it was removed meanwhile
        return not self._waiting


class Folder:
    """One workload's; `size` is None until the first look is through."""

    def __init__(self, folder: Path, *, limit: typing.Optional[int]) -> None:
        self.folder = folder
        self.limit = limit
        self.size: typing.Optional[int] = None
        self._walk: typing.Optional[Walk] = None
        self._looked_at = float("-inf")
        self._free = 0

    def look(self, now: float) -> None:
        """Go on with a look, or begin one where it is due; `now` is of the monotonic clock."""
        if self._walk is None and not self._is_due(now):
            return
        if self._walk is None:
            self._walk, self._looked_at, self._free = Walk(self.folder), now, self._free_now()
        done = self._walk.go_on(seconds=PIECE_SECONDS)
        if done or self.limit is not None and self._walk.total > self.limit:
            self.size, self._walk = self._walk.total, None

    @property
    def over(self) -> str:
        """Why it has too much, in words; "" while it has not."""
        if self.limit is None or self.size is None or self.size <= self.limit:
            return ""
        return over(self.size, self.limit)

    def _is_due(self, now: float) -> bool:
        if now - self._looked_at >= LOOK_SECONDS:
            return True
        if self.limit is None or self.size is None:
            return False
        return (self._free - self._free_now()) * HASTE > self.limit - self.size

    def _free_now(self) -> int:
        try:
            return shutil.disk_usage(self.folder).free
        except OSError:
            return 0
