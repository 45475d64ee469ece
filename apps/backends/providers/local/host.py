"""What this machine has: CPUs, memory, disk, GPUs, container engine, Python versions."""

from __future__ import annotations

import functools
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from apps.backends.base import Hardware
from apps.backends.providers.local import gpus

ENGINE_SECONDS = 2.0
NAMES = ("RepoTags", "RepoDigests")
PYTHON_SECONDS = 5.0
# The fixed part of the PATH that the agent gives to processes.
REPLICA_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHON = re.compile(r"python(3\.\d+)\Z")


def hardware(*, disk_of: Path) -> list[Hardware]:
    """Return the host's totals, once for each kind of its GPUs; disk is the size of `disk_of`'s
    file system."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    found = gpus.find(host_memory_mib=memory_mib)
    totals = Hardware(
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=memory_mib,
        disk_mib=shutil.disk_usage(_existing(disk_of)).total // 2**20,
        arch="arm" if os.uname().machine in {"aarch64", "arm64"} else "x86",
        gpu_problems=found.problems,
    )
    return [replace(totals, gpu=kind) for kind in found.kinds] or [totals]


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def images() -> list[str] | None:
    """Return the names of the images that the container engine has; None where none answers."""
    address = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not address.startswith("unix://"):
        return None
    connection = http.client.HTTPConnection("localhost", timeout=ENGINE_SECONDS)
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.settimeout(ENGINE_SECONDS)
            unix.connect(address.removeprefix("unix://"))
            connection.sock = unix
            connection.request("GET", "/images/json")
            answer = connection.getresponse()
            return _names(json.loads(answer.read())) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _names(found: list[dict[str, Any]]) -> list[str]:
    """Of an image without a name the engine says none, null or <none>:<none>."""
    names = {name for one in found for key in NAMES for name in one.get(key) or ()}
    return sorted(name for name in names if not name.startswith("<none>"))


def shells() -> list[str]:
    """Return which of the shells that a replica may get this machine has, best first."""
    return [name for name in ("bash", "sh") if shutil.which(name, path=REPLICA_PATH)]


def pythons() -> list[str]:
    """Return the Python versions on PATH and our own, newest first.

    A script that stands in for a Python (pyenv's) counts if it runs: its version may be off.
    """
    found = {f"{sys.version_info.major}.{sys.version_info.minor}"}
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if folder and Path(folder).is_dir():
            entries = [(PYTHON.match(entry.name), entry) for entry in Path(folder).iterdir()]
            found |= {m[1] for m, entry in entries if m and m[1] not in found and _runs(entry)}
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")])[::-1]


def _runs(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            is_script = file.read(2) == b"#!"
        return not is_script or _script_runs(path, path.stat().st_mtime_ns)
    except OSError:
        return False


@functools.cache
def _script_runs(path: Path, modified_at_ns: int) -> bool:
    command = [str(path), "-I", "-S", "-c", ""]
    try:
        ran = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=PYTHON_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return ran.returncode == 0


def isolation(said: Path) -> str:
    """Return how the agent of this host keeps processes apart: "network", "user" or "none".

    `said` is where the agent writes it; before it did, that follows from who we are, as it does
    for the agent.
    """
    try:
        return str(json.loads(said.read_text())["level"])
    except (OSError, ValueError, KeyError, TypeError):
        return "network" if os.geteuid() == 0 else "none"


def unbounded(said: Path) -> str:
    """Return why nothing bounds what processes use of this host; "" where something does."""
    try:
        return str(json.loads(said.read_text())["unbounded"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
