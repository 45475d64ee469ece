"""A replica's virtual environment, made in milliseconds: pip is installed by its own first use.

`python -m venv` takes seconds because it installs pip. Here the folder is laid out as that module
lays it out, and a stand-in for pip installs the real one, from the wheel that comes with Python,
when `pip` or `python -m pip` is called for the first time.
"""

from __future__ import annotations

import threading
import typing
from pathlib import Path

from apps.agent import atomic_write
from apps.agent.host.interpreters import Interpreter

# Debian moves the wheels of its Python here.
DISTRIBUTION_WHEELS = Path("/usr/share/python-wheels")

PIP_MODULE = '''\
"""Stands in for pip until its first use: installs the real one, then becomes it."""
import fcntl
import os
import subprocess
import sys

WHEELS = {wheels!r}
OPTIONS = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(sys.prefix, ".pip-lock"), "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not os.path.exists(os.path.join(here, "__init__.py")):
        if not WHEELS:
            sys.exit("pip: this host's Python comes without pip (ensurepip); install python3-venv")
        env = {{k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}}
        # A wheel is a zip file, and Python runs a folder of a zip file as a program.
        pip = os.path.join(WHEELS[0], "pip")
        failed = subprocess.call([sys.executable, pip, "install", *OPTIONS, *WHEELS], env=env)
        if failed:
            sys.exit(failed)
os.execv(sys.executable, [sys.executable, "-m", "pip", *sys.argv[1:]])
'''

# Through sh, because the line `#!` takes neither a long path nor one with a space in it.
PIP_PROGRAM = """\
#!/bin/sh
exec "$(dirname -- "$0")/python" -m pip "$@"
"""


def make(*, folder: Path, interpreter: Interpreter, wheels: typing.Sequence[Path]) -> None:
    """Make a virtual environment; `wheels` are pip's and what comes with it."""
    programs = folder / "bin"
    packages = folder / "lib" / f"python{interpreter.minor}" / "site-packages"
    programs.mkdir(parents=True)
    (packages / "pip").mkdir(parents=True)
    (folder / "lib64").symlink_to("lib")
    (folder / "pyvenv.cfg").write_text(
        f"home = {Path(interpreter.path).parent}\n"
        "include-system-site-packages = false\n"
        f"version = {interpreter.version}\n"
        f"executable = {interpreter.path}\n"
    )
    (programs / "python").symlink_to(interpreter.path)
    for name in ("python3", f"python{interpreter.minor}"):
        (programs / name).symlink_to("python")
    (packages / "pip" / "__main__.py").write_text(
        PIP_MODULE.format(wheels=[str(wheel) for wheel in wheels])
    )
    for name in ("pip", "pip3", f"pip{interpreter.minor}"):
        (programs / name).write_text(PIP_PROGRAM)
        (programs / name).chmod(0o755)


def share_wheels(*, interpreter: Interpreter, folder: Path) -> list[Path]:
    """Copy pip's wheels to a folder that replicas can read; pip comes first.

    Return an empty list where Python came without them.
    """
    found: list[Path] = []
    for source in (Path(interpreter.library) / "ensurepip" / "_bundled", DISTRIBUTION_WHEELS):
        found = sorted(source.glob("pip-*.whl"))[-1:] + sorted(source.glob("setuptools-*.whl"))[-1:]
        if found and found[0].name.startswith("pip-"):
            break
        found = []
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return [_share(wheel, folder) for wheel in found]


def _share(wheel: Path, folder: Path) -> Path:
    shared = folder / wheel.name
    if not shared.exists():
        # Several workloads may be prepared at once.
        suffix = str(threading.get_ident())
        with atomic_write.replaced(shared, mode=0o644, suffix=suffix) as file:
            file.write(wheel.read_bytes())
    return shared
