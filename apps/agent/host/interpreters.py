"""The Pythons of this host, and which of them a replica's own user can run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import typing
from pathlib import Path

from apps.agent.host import users

NAME = re.compile(r"python3(\.\d+)?")
ORDINARY_FOLDERS = ("/usr/local/bin", "/usr/bin", "/bin")
PROBE_SECONDS = 10.0
# Asked of each candidate: -S keeps a virtual environment's own packages out of the answer.
PROBE = """
import json, os, sys
name = "python%d.%d" % sys.version_info[:2]
base = os.path.join(sys.base_exec_prefix, "bin", name)
print(json.dumps({
    "path": base if os.access(base, os.X_OK) else os.path.realpath(sys.executable),
    "version": "%d.%d.%d" % sys.version_info[:3],
    "library": os.path.dirname(os.__file__),
}))
"""


class NotFound(Exception):
    """No Python of that version is on this host; the text names those that are."""


class Interpreter(typing.NamedTuple):
    path: str
    version: str  # "3.11.2"
    library: str  # the folder of the standard library
    open_to_all: bool  # any user of this host may run it

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


class Interpreters:
    """What was found is remembered; safe to use from several threads."""

    def __init__(self, search_path: str) -> None:
        self._search_path = search_path
        self._found: dict[tuple[str, int], typing.Optional[Interpreter]] = {}
        self._lock = threading.Lock()

    def find(self, *, version: typing.Optional[str], for_all: bool) -> Interpreter:
        """Return the first Python of the version ("3.12"), of any if None.

        With `for_all` one that any user may run is preferred, but another one is better than none.
        Raise NotFound.
        """
        fitting = None
        for interpreter in self.all():
            if version is None or interpreter.minor == version:
                if interpreter.open_to_all or not for_all:
                    return interpreter
                fitting = fitting or interpreter
        if fitting is None:
            versions = ", ".join(sorted({i.minor for i in self.all()}, key=_by_number)) or "none"
            raise NotFound(
                f"Python {version or 3} is not on this host, which has: {versions}. Ask for one of "
                "these with `python:`, or install it."
            )
        return fitting

    def all(self) -> typing.Iterator[Interpreter]:
        """Yield the host's Pythons in the order of preference."""
        for path in self._candidates():
            key = (str(path), path.stat().st_mtime_ns)
            if key not in self._found:
                with self._lock:
                    self._found.setdefault(key, _probe(path))
            found = self._found[key]
            if found is not None:
                yield found

    def _candidates(self) -> list[Path]:
        folders = dict.fromkeys([*self._search_path.split(os.pathsep), *ORDINARY_FOLDERS])
        paths = [Path(sys.executable)]
        for folder in folders:
            names = sorted(_names(Path(folder)), key=len)
            paths.extend(Path(folder) / name for name in names)
        unique: dict[Path, Path] = {}
        for path in paths:
            if path.exists():
                unique.setdefault(path.resolve(), path)
        # Scripts that stand in for a Python (pyenv's) are slow and often fail: last.
        return sorted(unique.values(), key=_is_script)


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if NAME.fullmatch(path.name)]
    except OSError:
        return []


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _by_number(minor: str) -> list[int]:
    return [int(part) for part in minor.split(".")]


def _probe(path: Path) -> typing.Optional[Interpreter]:
    try:
        answer = subprocess.run(
            [str(path), "-I", "-S", "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=True,
        )
        facts = json.loads(answer.stdout)
        open_to_all = _is_open(facts["path"]) and _is_open(facts["library"])
        return Interpreter(facts["path"], facts["version"], facts["library"], open_to_all)
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def _is_open(path: str) -> bool:
    # Readable and runnable for others, which for a folder is listing and passing.
    return users.is_open_to_all(Path(path)) and Path(path).stat().st_mode & 0o005 == 0o005
