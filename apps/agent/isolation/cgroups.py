"""Bounds on memory, processes and CPU by control groups, of version 1 or 2, where the kernel can.

A workload gets a group of its own in each hierarchy that has a controller it needs, below one
group for all workloads (PARENT), whose memory ends before the host's does: what replicas use
together leaves the server and the agent theirs. Where that is not possible (no rights, controllers
not delegated) a workload runs without bounds, and the agent says so.
"""

from __future__ import annotations

import contextlib
import os
import typing
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PARENT, PREFIX = "dstack-agent", "dstack-"
CPU_PERIOD_MICROSECONDS = 100_000
MIB = 1024 * 1024
# Far above what any server has, threads included, and far below what stops a host.
MOST_PROCESSES = 16384
# What of the host's memory stays for all else: an eighth, and enough for a server.
KEPT_SHARE, KEPT_LEAST_MIB = 8, 1024
# Whose memory had ended when the kernel killed a process.
OWN, OF_HOST = "own", "host"
# Files that not every kernel has.
OPTIONAL = ("memory.swap.max", "memory.memsw.limit_in_bytes")

Settings = list[tuple[str, str]]


class Unavailable(Exception):
    """The bounds cannot be set; the text says why."""


class Bounds(typing.NamedTuple):
    """What a workload may have; `cpus` None is all."""

    memory_mib: int
    processes: int
    cpus: typing.Optional[float] = None


class _Group(typing.NamedTuple):
    folder: Path
    settings: Settings
    of_parent: Settings


def most_processes(*, kernel: Path = Path("/proc/sys/kernel")) -> int:
    """Return how many processes and threads one replica may have: no large part of the host's."""
    with contextlib.suppress(OSError, ValueError):
        host = min(int((kernel / name).read_text()) for name in ("pid_max", "threads-max"))
        return min(MOST_PROCESSES, host // 4)
    return MOST_PROCESSES


def shared_memory_mib() -> int:
    """Return how much memory all replicas of this host may have together, and so each of them."""
    has = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    return has - min(max(has // KEPT_SHARE, KEPT_LEAST_MIB), has // 2)


def check(*, root: Path = ROOT) -> str:
    """Return why replicas cannot be bounded on this host; "" where they can."""
    try:
        remove(create(name=f"check-{os.getpid()}", bounds=Bounds(64, 64), root=root))
    except Unavailable as error:
        return str(error)
    return ""


def create(*, name: str, bounds: Bounds, root: Path = ROOT) -> list[Path]:
    """Make the groups that hold a workload's bounds, anew where there are some; return them.

    Raise Unavailable when the kernel refuses; nothing is left behind then.
    """
    prepare, groups = _plan(root, name, bounds)
    made = [group.folder for group in groups]
    remove(made)
    try:
        for group in groups:
            try:
                _make(group, prepare)
            except FileNotFoundError:
                # Another agent of this host has stopped just now, and removed the empty parent.
                _make(group, prepare)
    except OSError as error:
        remove(made)
        raise Unavailable(f"{error.strerror} ({error.filename})") from error
    return made


def _make(group: _Group, prepare: typing.Callable[[_Group], None]) -> None:
    prepare(group)
    _set(group.folder.parent, group.of_parent)
    group.folder.mkdir(exist_ok=True)
    _set(group.folder, group.settings)


def _plan(
    root: Path, name: str, bounds: Bounds
) -> tuple[typing.Callable[[_Group], None], list[_Group]]:
    folder = Path(PARENT, PREFIX + name)
    if (root / "cgroup.controllers").exists():
        memory = [("memory.max", str(shared_memory_mib() * MIB))]
        return _delegate_v2, [_Group(root / folder, _settings_v2(bounds), memory)]
    shared = {"memory": [("memory.limit_in_bytes", str(shared_memory_mib() * MIB))]}
    return _prepare_v1, [
        _Group(_own_group(root, controller) / folder, settings, shared.get(controller, []))
        for controller, settings in _settings_v1(bounds).items()
    ]


def _settings_v2(bounds: Bounds) -> Settings:
    settings = [
        ("memory.max", str(bounds.memory_mib * MIB)),
        ("memory.swap.max", "0"),
        ("pids.max", str(bounds.processes)),
    ]
    if bounds.cpus is not None:
        settings.append(("cpu.max", f"{_quota(bounds.cpus)} {CPU_PERIOD_MICROSECONDS}"))
    return settings


def _settings_v1(bounds: Bounds) -> dict[str, Settings]:
    memory = str(bounds.memory_mib * MIB)
    settings = {
        # The same for both means: no swap besides.
        "memory": [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)],
        "pids": [("pids.max", str(bounds.processes))],
    }
    if bounds.cpus is not None:
        settings["cpu"] = [
            ("cpu.cfs_period_us", str(CPU_PERIOD_MICROSECONDS)),
            ("cpu.cfs_quota_us", str(_quota(bounds.cpus))),
        ]
    return settings


def _quota(cpus: float) -> int:
    # The kernel takes no quota below one millisecond.
    return max(1000, int(cpus * CPU_PERIOD_MICROSECONDS))


def _delegate_v2(group: _Group) -> None:
    parent = group.folder.parent
    wanted = " ".join(f"+{name}" for name in sorted({f.split(".")[0] for f, _ in group.settings}))
    (parent.parent / "cgroup.subtree_control").write_text(wanted)
    parent.mkdir(exist_ok=True)
    (parent / "cgroup.subtree_control").write_text(wanted)


def _prepare_v1(group: _Group) -> None:
    parent = group.folder.parent
    # Without the controller mounted this would be an ordinary folder.
    if not (parent.parent / "cgroup.procs").exists():
        raise FileNotFoundError(2, "no such controller", str(parent.parent))
    parent.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        # Newer kernels know nothing else.
        (parent / "memory.use_hierarchy").write_text("1")


def _set(folder: Path, settings: Settings) -> None:
    for file, value in settings:
        if file not in OPTIONAL or (folder / file).exists():
            (folder / file).write_text(value)


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
    """Put a process, and so its later children, into the groups."""
    for folder in folders:
        with contextlib.suppress(OSError):
            (folder / "cgroup.procs").write_text(str(pid))


def out_of_memory(folders: typing.Iterable[Path]) -> str:
    """Return whose memory had ended when the kernel killed a process of the groups for it.

    That is OWN, or OF_HOST where all replicas together had used theirs; "" where none was killed.
    """
    folders = list(folders)
    killed = _count(folders, ("memory.events", "memory.oom_control"), "oom_kill")
    if not killed:
        return ""
    peak = _count(folders, ("memory.peak", "memory.max_usage_in_bytes"), "")
    limit = _count(folders, ("memory.max", "memory.limit_in_bytes"), "")
    # Just below its limit it may stay for want of one large piece.
    own = _count(folders, ("memory.events",), "oom") or 16 * peak >= 15 * limit
    return OWN if own else OF_HOST


def is_full_of_processes(folders: typing.Iterable[Path]) -> bool:
    """Tell whether a process of the groups was refused another one because of their own bound."""
    folders = list(folders)
    if not _count(folders, ("pids.events",), "max"):
        return False
    # The refusal may have come from a group above.
    most = _count(folders, ("pids.max",), "")
    return most > 0 and 2 * _count(folders, ("pids.current",), "") >= most


def _count(folders: typing.Iterable[Path], files: typing.Iterable[str], key: str) -> int:
    """The first number found: the one after `key` in a list, or that of a file with just one."""
    for path in [folder / file for folder in folders for file in files]:
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                *name, number = line.split()
                if name == ([key] if key else []):
                    return int(number)
    return 0


def forbid_processes(folders: typing.Iterable[Path]) -> None:
    """Refuse the groups any further process, so that all of them can be ended in one go."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if (folder / "pids.max").exists():
                (folder / "pids.max").write_text("0")


def remove(folders: typing.Iterable[Path]) -> None:
    """Remove the groups; their processes must have ended."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_all_of(name: str, *, root: Path = ROOT) -> None:
    """Remove the groups of a workload, also those that nobody could note."""
    _, groups = _plan(root, name, Bounds(1, 1, 1.0))
    remove(group.folder for group in groups)


def remove_parents(*, root: Path = ROOT) -> None:
    """Remove what holds the groups, where no workload of any agent of this host is left."""
    _, groups = _plan(root, "", Bounds(1, 1, 1.0))
    remove(group.folder.parent for group in groups)
