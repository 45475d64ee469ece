"""A virtual environment with a model server, outside the checkout, made once a machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from apps.agent.host import users
from tests.programs import missing

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
INSTALL_SECONDS = 500


def environment() -> Path:
    """Return the environment's folder, made now if the machine has none.

    Two processes that ask at once get the same. A Python below root's home is passed over, since
    a replica, which has a user of its own, could not run it.
    """
    python = open_python()
    about = f"{REQUIREMENTS.read_text()}{python}{sys.version}"
    folder = cache_folder() / hashlib.sha256(about.encode()).hexdigest()[:16]
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make(folder, python)
    return folder


def cache_folder() -> Path:
    home = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    folder = home / "dstack-web-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_python() -> str:
    for name in (getattr(sys, "_base_executable", sys.executable), "/usr/bin/python3"):
        path = Path(name).resolve()
        if path.exists() and (os.geteuid() != 0 or users.is_open_to_all(path)):
            return str(path)
    return missing("no Python that another user than root may run: apt-get install python3")


def make(folder: Path, python: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # what an interrupted session has left
    uv = str(Path(sys.executable).with_name("uv"))
    run([uv, "venv", "--quiet", "--python", python, str(folder)])
    into = ["--python", str(folder / "bin" / "python")]
    run([uv, "pip", "install", "--quiet", *into, "--requirements", str(REQUIREMENTS)])
    (folder / "made").touch()


def run(argv: list[str]) -> None:
    # Where this machine keeps wheels of its own for pip, uv shall find them too.
    more = {"UV_FIND_LINKS": os.environ["PIP_FIND_LINKS"]} if "PIP_FIND_LINKS" in os.environ else {}
    done = subprocess.run(
        argv, env={**os.environ, **more}, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert done.returncode == 0, done.stderr
