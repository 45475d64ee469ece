"""Running our code as another user, where the tests run as root."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMELESS_ID = 61234  # in no user database
PATHS = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def env_of(home: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONPATH": PATHS,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python(home: Path) -> list[str]:
    """This function will return the words that run Python as a user without a name.

    The virtual environment's own Python may lie where only root may go, so another one of the
    same version will do; without one the test is skipped.
    """
    become = ["setpriv", f"--reuid={NAMELESS_ID}", f"--regid={NAMELESS_ID}", "--clear-groups"]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        probe = subprocess.run(
            [*become, program, "-c", "import dstack_web.embedded.up, pydantic"],
            env=env_of(home),
            cwd="/",
            capture_output=True,
            timeout=30,
        )
        if probe.returncode == 0:
            return [*become, program]
    pytest.skip(f"no {version} and checkout that another user than root may read")


def give(folder: Path) -> None:
    """This function will give the folder to that user and let it pass the folders above."""
    os.chown(folder, NAMELESS_ID, NAMELESS_ID)
