"""Removing folders that programs have had in their hands.

Apart from `files`, which every shim loads: what this needs makes a process slower to start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
from pathlib import Path


def remove(path: Path) -> None:
    """Remove a folder, also one whose owner took the rights from its parts.

    Links are removed, never followed. What cannot be removed stays.
    """
    if not path.is_symlink() and not path.exists():
        return
    # Python gives up at a thousand folders in one another.
    with contextlib.suppress(RecursionError):
        shutil.rmtree(str(path), ignore_errors=True)
    if path.is_symlink() or path.exists():
        # Root needs no rights, and chmod would follow a link that is put there meanwhile.
        if os.geteuid() != 0:
            with contextlib.suppress(RecursionError):
                _open_up(path)
        with contextlib.suppress(OSError):
            subprocess.run(
                ["rm", "-rf", "--", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def _open_up(path: Path) -> None:
    for folder, _, _ in os.walk(str(path)):
        with contextlib.suppress(OSError):
            Path(folder).chmod(stat.S_IRWXU)
            # os.walk lists a folder before it is entered: make the ones below enterable first.
            for below in os.scandir(folder):
                if below.is_dir(follow_symlinks=False):
                    Path(below.path).chmod(stat.S_IRWXU)
