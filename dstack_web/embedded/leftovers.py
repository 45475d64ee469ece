"""Which processes a server has started, on disk, so that the next one can end what was left.

Children die with their supervisor; what a kill -9 leaves is grandchildren, and servers that were
still writing out. A process is ended only if both its pid and its start time are as noted, or if
it belongs to the session that such a process led.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from apps.core.stores import atomic_write
from dstack_web import processes
from dstack_web.processes import ProcessId

GRACE_SECONDS = 5
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def note(path: Path, running: dict[str, ProcessId]) -> None:
    """Write down, in one step, the children that run now."""
    children = {name: [found.pid, found.started_ticks] for name, found in running.items()}
    said = json.dumps({"boot_id": BOOT_ID.read_text(), "children": children})
    atomic_write.write_text(path, said)


def end(path: Path) -> int:
    """End what an earlier server left; returns how many processes that were."""
    sessions = noted(path)
    found = living(sessions)
    for stat in found:
        # The servers write out at SIGINT; everything else has nothing to lose.
        is_server = stat.pid in {leader.pid for leader in sessions if leader.is_alive()}
        send(stat.pid, signal.SIGINT if is_server else signal.SIGKILL)
    wait_none(sessions)
    for stat in living(sessions):
        send(stat.pid, signal.SIGKILL)
    wait_none(sessions)
    path.unlink(missing_ok=True)
    return len(found)


def end_haproxy(pid_file: Path) -> None:
    """End the HAProxy of a gateway that could not end it itself.

    HAProxy outlives the gateway on purpose, so that a restart of the gateway costs no request; its
    pid file names it by pid, start time and boot.
    """
    try:
        pid, ticks, boot_id = pid_file.read_text().split()[:3]
        found = ProcessId(int(pid), int(ticks))
    except (FileNotFoundError, ValueError):
        return
    if boot_id == BOOT_ID.read_text().strip() and found.is_alive():
        send(found.pid, signal.SIGKILL)
        wait_gone(found)


def wait_gone(process: ProcessId) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)


def wait_none(sessions: list[ProcessId]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    while living(sessions) and time.monotonic() < deadline:
        time.sleep(0.05)


def noted(path: Path) -> list[ProcessId]:
    try:
        content = json.loads(path.read_text())
        if content["boot_id"] != BOOT_ID.read_text():
            return []
        return [ProcessId(int(pid), int(ticks)) for pid, ticks in content["children"].values()]
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return []


def living(sessions: list[ProcessId]) -> list[processes.Stat]:
    """The members of sessions that the noted processes led.

    A pid is not given out again while a session bears its number, so members that are younger
    than the noted leader, whose number nobody else leads, are its own.
    """
    started = {leader.pid: leader.started_ticks for leader in sessions}
    found = [stat for pid in started for stat in processes.session_members(pid)]
    foreign = {stat.pid for stat in found if stat.started_ticks != started.get(stat.pid, -1)}
    foreign &= set(started)
    return [
        stat
        for stat in found
        if stat.session not in foreign and stat.started_ticks >= started[stat.session]
    ]


def send(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, how)
