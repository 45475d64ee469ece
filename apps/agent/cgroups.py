"""Limits on memory and CPU by control groups, of version 1 or 2, where the kernel lets us.

A workload gets a group of its own in each hierarchy that has the controller. Where that is not
possible (no rights, controllers not delegated) it runs without limits, and the agent says so.
"""

from __future__ import annotations

import contextlib
import typing
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PREFIX = "dstack-"
CPU_PERIOD_MICROSECONDS = 100_000
MIB = 1024 * 1024


class Unavailable(Exception):
    """The limits cannot be set; the text says why."""


def create(
    *, name: str, memory_mib: typing.Optional[int], cpus: typing.Optional[float], root: Path = ROOT
) -> list[Path]:
    """This function will make the groups that hold the limits and return their folders.

    Raises Unavailable when the kernel refuses; nothing is left behind then.
    """
    if memory_mib is None and cpus is None:
        return []
    if (root / "cgroup.controllers").exists():
        wanted = {root / "dstack-agent" / (PREFIX + name): _settings_v2(memory_mib, cpus)}
        prepare = _delegate_v2
    else:
        wanted = {
            _own_group(root, controller) / (PREFIX + name): settings
            for controller, settings in _settings_v1(memory_mib, cpus).items()
        }
        prepare = _check_v1
    try:
        for folder, settings in wanted.items():
            prepare(folder.parent)
            folder.mkdir(exist_ok=True)
            for file, value in settings:
                (folder / file).write_text(value)
    except OSError as error:
        remove(list(wanted))
        raise Unavailable(f"{error.strerror} ({error.filename})") from error
    return list(wanted)


def _settings_v2(
    memory_mib: typing.Optional[int], cpus: typing.Optional[float]
) -> list[tuple[str, str]]:
    settings = []
    if memory_mib is not None:
        settings.append(("memory.max", str(memory_mib * MIB)))
    if cpus is not None:
        settings.append(("cpu.max", f"{_quota(cpus)} {CPU_PERIOD_MICROSECONDS}"))
    return settings


def _settings_v1(
    memory_mib: typing.Optional[int], cpus: typing.Optional[float]
) -> dict[str, list[tuple[str, str]]]:
    settings = {}
    if memory_mib is not None:
        settings["memory"] = [("memory.limit_in_bytes", str(memory_mib * MIB))]
    if cpus is not None:
        settings["cpu"] = [
            ("cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS)),
            ("cpu.cfs_quota_us", str(_quota(cpus))),
        ]
    return settings


def _quota(cpus: float) -> int:
    # The kernel takes no quota below one millisecond.
    return max(1000, int(cpus * CPU_PERIOD_MICROSECONDS))


def _delegate_v2(parent: Path) -> None:
    (parent.parent / "cgroup.subtree_control").write_text("+memory +cpu")
    parent.mkdir(exist_ok=True)
    (parent / "cgroup.subtree_control").write_text("+memory +cpu")


def _check_v1(parent: Path) -> None:
    # Without the controller mounted this would be an ordinary folder.
    if not (parent / "cgroup.procs").exists():
        raise FileNotFoundError(2, "no such controller", str(parent))


def _own_group(root: Path, controller: str) -> Path:
    own = "/"
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            own = path if controller in names.split(",") else own
    group = root / controller / own.lstrip("/")
    # Inside a container the path may be the host's.
    return group if group.exists() else root / controller


def enter(folders: typing.Iterable[Path], pid: int) -> None:
    """This function will put a process, and so its later children, into the groups."""
    for folder in folders:
        with contextlib.suppress(OSError):
            (folder / "cgroup.procs").write_text(str(pid))


def ran_out_of_memory(folders: typing.Iterable[Path]) -> bool:
    """This function will tell whether the kernel killed a process of the groups for its memory."""
    return any(
        _counted(folder / file)
        for folder in folders
        for file in ("memory.events", "memory.oom_control")
    )


def _counted(path: Path) -> bool:
    with contextlib.suppress(OSError):
        words = [line.split() for line in path.read_text().splitlines()]
        return any(pair[0] == "oom_kill" and pair[1] != "0" for pair in words if len(pair) == 2)
    return False


def remove(folders: typing.Iterable[Path]) -> None:
    """This function will remove the groups; their processes must have ended."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
