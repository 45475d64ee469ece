"""Processes that must not outlive us: started with a death signal, known by their start time.

Each child leads a session of its own, so Ctrl-C in the terminal reaches the supervisor alone, and
a pid together with its start time names one process for ever: pids come back, the pair does not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """A server did not come up; the text says which, why, and where its log lies."""


@dataclass(frozen=True)
class ProcessId:
    """One process for ever: its pid and its start time in clock ticks since boot."""

    pid: int
    started_ticks: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Name the living process `pid`, or return None when there is none."""
        stat = read_stat(pid)
        return None if stat is None or stat.state == "Z" else cls(pid, stat.started_ticks)

    def is_alive(self) -> bool:
        return ProcessId.of(self.pid) == self


@dataclass(frozen=True)
class Stat:
    """What /proc says about a process; `state` is one letter, Z for one that ended."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    started_ticks: int


def spawn(
    *,
    argv: list[str],
    env: Mapping[str, str],
    log: Path,
    cwd: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    keep_open: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start `argv` in a new session, its output appended to `log`.

    It inherits the descriptors `keep_open`. The kernel sends it `death_signal` when the calling
    thread ends, however that happens, so call this from a thread that lives as long as the process
    should. Raise OSError.
    """
    parent = os.getpid()

    def before_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # the closure above only makes system calls
            argv,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=keep_open,
            preexec_fn=before_exec,
        )


def wait_ready(
    *,
    name: str,
    process: subprocess.Popen[bytes],
    is_ready: Callable[[], bool],
    log: Path,
    seconds: float,
) -> None:
    """Return once `is_ready()`; raises StartFailed on exit or time-out."""
    deadline = time.monotonic() + seconds
    while not is_ready():
        code = process.poll()
        if code is not None:
            raise StartFailed(f"{name} ended with code {code} while starting; its log is {log}")
        if time.monotonic() > deadline:
            raise StartFailed(f"{name} was not ready after {seconds:g} s; its log is {log}")
        time.sleep(0.02)


def stop(*, process: subprocess.Popen[bytes], how: signal.Signals, seconds: float) -> None:
    """Send `how`, wait up to `seconds`, then kill the whole session."""
    if process.poll() is None:
        process.send_signal(how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    kill_session(process.pid)
    process.wait()


def kill_session(session: int) -> None:
    """End with SIGKILL whatever still lives in the session."""
    for stat in session_members(session):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(stat.pid, signal.SIGKILL)


def end_now(pid: int, how: signal.Signals) -> None:
    """Send `how` so that it is heard by a process that is stopped, too."""
    for number in (how, signal.SIGCONT):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def is_stopped(pid: int) -> bool:
    """Return whether a signal has stopped the process; one that a debugger holds is not."""
    stat = read_stat(pid)
    return stat is not None and stat.state == "T"


def session_members(session: int) -> list[Stat]:
    """List the living processes of a session (a session is its first pid)."""
    return [stat for stat in all_stats() if stat.session == session and stat.state != "Z"]


def all_stats() -> Iterator[Stat]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 - half the time of Path.iterdir
        if entry.isdigit() and (stat := read_stat(int(entry))):
            yield stat


def read_stat(pid: int) -> Stat | None:
    """Read /proc/<pid>/stat; None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold anything, brackets too.
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started_ticks=int(fields[19]),
    )
