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
# Started by root a program may lie anywhere, started by itself it may not.
PROBE = """
import subprocess, sys
again = [sys.executable, "-c", "import dstack_web.embedded.up, django, celery, redis, pydantic"]
sys.exit(subprocess.run(again).returncode)
"""
# Where the virtual environment's Python lies below a folder that only root may pass.
READING = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def env_of(home: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "PYTHONPATH": PATHS,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def python(home: Path) -> list[str]:
    """Return the words that run Python as a user without a name."""
    become = ["setpriv", f"--reuid={NAMELESS_ID}", f"--regid={NAMELESS_ID}", "--clear-groups"]
    for words in ([*become, sys.executable], [*become, *READING, sys.executable]):
        probe = subprocess.run(
            [*words, "-c", PROBE], env=env_of(home), cwd="/", capture_output=True, timeout=30
        )
        if probe.returncode == 0:
            return words
    pytest.skip("this checkout lies where no other user than root may read it")


def give(folder: Path) -> None:
    """Give the folder to that user and let it pass the folders above."""
    os.chown(folder, NAMELESS_ID, NAMELESS_ID)
