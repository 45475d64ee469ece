"""What /proc tells about processes. A process is named by its pid and its start time together,
because a pid alone may belong to another process by now."""

from __future__ import annotations

import contextlib
import os
import typing
from pathlib import Path

PROC = Path("/proc")
DEAD_STATES = ("Z", "X")


class Stat(typing.NamedTuple):
    state: str
    parent_pid: int
    start: int  # clock ticks since boot


class Process(typing.NamedTuple):
    """`cpu_ticks` are its own, `ended_ticks` those of children that it has waited for."""

    parent_pid: int
    cpu_ticks: int
    ended_ticks: int
    resident_pages: int


# pid -> process: one look at all of them.
Table = typing.Mapping[int, Process]
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def boot_id() -> str:
    """Return the kernel's name of this boot."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def stat(pid: int) -> typing.Optional[Stat]:
    """Return what /proc says of a process; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name stands in parentheses and may hold any character, these too.
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0], int(fields[1]), int(fields[19]))


def start_of(pid: int) -> typing.Optional[int]:
    """Return the start time of a living process; a zombie does not live."""
    found = stat(pid)
    return None if found is None or found.state in DEAD_STATES else found.start


def is_alive(pid: typing.Optional[int], start: typing.Optional[int]) -> bool:
    return pid is not None and start is not None and start_of(pid) == start


def all_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def descendants(pid: int) -> list[int]:
    """Return the pids of the process's children, their children and so on."""
    children: dict[int, list[int]] = {}
    for other in all_pids():
        found = stat(other)
        if found is not None:
            children.setdefault(found.parent_pid, []).append(other)
    wanted, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        wanted.extend(below)
        waiting.extend(below)
    return wanted


def table() -> dict[int, Process]:
    """Look at every process of the host once."""
    found = {}
    for pid in all_pids():
        with contextlib.suppress(OSError):
            text = (PROC / str(pid) / "stat").read_text(errors="replace")
            fields = [int(field) for field in text.rpartition(")")[2].split()[1:22]]
            # proc(5), fields 4, 14 to 17 and 24.
            found[pid] = Process(
                parent_pid=fields[0],
                cpu_ticks=fields[10] + fields[11],
                ended_ticks=fields[12] + fields[13],
                resident_pages=fields[20],
            )
    return found


def below(pid: int, table: Table) -> list[Process]:
    """Return the processes below one, in a look at all."""
    children: dict[int, list[int]] = {}
    for other, process in table.items():
        children.setdefault(process.parent_pid, []).append(other)
    wanted: list[Process] = []
    waiting = [pid]
    while waiting:
        under = children.get(waiting.pop(), [])
        wanted.extend(table[other] for other in under)
        waiting.extend(under)
    return wanted


def of_session(session: int) -> list[int]:
    """Return the pids of the living processes of one session."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session and start_of(pid) is not None:
                found.append(pid)
    return found


def of_user(uid: int) -> list[int]:
    """Return the pids of the living processes of one user."""
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if (PROC / str(pid)).stat().st_uid == uid and start_of(pid) is not None:
                found.append(pid)
    return found


def with_home(home: str) -> list[int]:
    """Return the pids of living processes that were started with this HOME."""
    entry = f"HOME={home}".encode()
    found = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
            if entry in variables and start_of(pid) is not None:
                found.append(pid)
    return found


def signal_all(pids: typing.Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def is_first_of_its_own(pid: int) -> bool:
    """Tell whether a process is the first one of a namespace below ours, as a container's is."""
    inside = _status(pid).get("NSpid", "").split()
    return len(inside) > 1 and inside[-1] == "1"


def loses_signal(pid: int, number: int) -> bool:
    """Tell whether the kernel drops a signal to the first process of a container.

    It does unless the process has a handler or waits for it; one that ignores it means to.
    """
    if not is_first_of_its_own(pid):
        return False
    status, bit = _status(pid), 1 << (number - 1)
    masks = [status.get(name) for name in ("SigCgt", "SigBlk", "SigIgn")]
    return None not in masks and not any(int(mask or "0", 16) & bit for mask in masks)


def _status(pid: int) -> dict[str, str]:
    try:
        text = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}
