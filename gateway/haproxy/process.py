"""HAProxy as a process that outlives the sidecar.

Its pid file, `haproxy.pid` in the gateway's home, has four lines: pid, start time in clock ticks
since boot, boot id, fingerprint of the configuration's fixed part. The first three name one
process for ever, so a leftover can be found and ended, and nothing else can be mistaken for it.
The file is written by the child before it becomes HAProxy, so there is no HAProxy without it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway import atomic_write
from gateway.errors import HaproxyFailed

PID_FILE = "haproxy.pid"
LOG_FILE = "haproxy.log"
STOPPED = b" stopped (cumulated conns: "
MOST_LOG_BYTES = 10_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Process:
    """One running HAProxy; `fingerprint` tells which fixed configuration it was started with."""

    pid: int
    started_ticks: int
    fingerprint: str

    def is_alive(self) -> bool:
        return started_ticks(self.pid) == self.started_ticks

    def is_stopped(self) -> bool:
        """Return whether a signal has stopped it; one that a debugger holds is not."""
        return self.is_alive() and state_of(self.pid) == "T"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still lives."""
        if self.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def ended(self) -> None:
        """Return when the process has ended, child of ours or not."""
        try:
            watch = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        loop.add_reader(watch, done.set)
        try:
            if self.is_alive():
                await done.wait()
        finally:
            loop.remove_reader(watch)
            os.close(watch)

    async def stop(self, *, seconds: float) -> None:
        """Let requests in flight finish for `seconds`, then end the rest."""
        for number in (signal.SIGUSR1, signal.SIGKILL):
            self.signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.ended()


def started_ticks(pid: int) -> int | None:
    """Return a process's start time; None when it ended or never was."""
    fields = stat_fields(pid)
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def state_of(pid: int) -> str:
    """Return the kernel's letter for what a process does; none when it never was."""
    return "".join(stat_fields(pid)[:1])


def stat_fields(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The command's name stands in brackets and may hold anything, brackets too.
    return text[text.rindex(")") + 2 :].split()


def start(
    *, binary: Path, home: Path, config: str, fingerprint: str, more: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start HAProxy in `home`, in a session of its own, with these arguments more. Raise
    HaproxyFailed."""
    log = home / LOG_FILE
    pid_file = home.absolute() / PID_FILE

    def before_exec() -> None:
        pid = os.getpid()
        text = f"{pid}\n{started_ticks(pid)}\n{boot_id()}\n{fingerprint}\n"
        atomic_write.write_text(pid_file, text)

    try:
        with log.open("ab") as output:
            return subprocess.Popen(
                [str(binary), "-db", "-f", config, *more],
                cwd=home,
                # The start of every request id: two processes never give the same one.
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "GATEWAY_BOOT": secrets.token_hex(6)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=before_exec,
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise HaproxyFailed(f"cannot start HAProxy ({binary}): {error}") from None


def running(home: Path) -> Process | None:
    """Find the HAProxy that an earlier sidecar left running in this home."""
    try:
        pid, ticks, boot, fingerprint = (home / PID_FILE).read_text().split()
        process = Process(int(pid), int(ticks), fingerprint)
    except (OSError, ValueError):
        return None
    return process if boot == boot_id() and process.is_alive() else None


def name_of_running(home: Path) -> str | None:
    """Name the HAProxy that runs now, differently from all others."""
    found = running(home)
    if found is None:
        return None
    text = f"{boot_id()}:{found.pid}:{found.started_ticks}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def boot_id() -> str:
    return BOOT_ID.read_text().strip()


def rotate_log(home: Path) -> None:
    """Begin a log that has grown too long anew, keeping one old copy.

    HAProxy goes on writing to the same file, at its new end.
    """
    log = home / LOG_FILE
    if log_size(home) > MOST_LOG_BYTES:
        shutil.copyfile(log, log.with_name(f"{LOG_FILE}.1"))
        os.truncate(log, 0)


def log_size(home: Path) -> int:
    """Return how long the log is, as a mark for the next two."""
    log = home / LOG_FILE
    return log.stat().st_size if log.exists() else 0


def forget_stopped(home: Path, *, since: int) -> None:
    """Leave out of the log, from `since` on, that each proxy was stopped: a line for each slot.

    Only of one that has ended. Raise OSError.
    """
    with (home / LOG_FILE).open("r+b") as log:
        if log.seek(0, os.SEEK_END) < since:
            # It was begun anew meanwhile; to cut it here would fill it up with zeros.
            return
        log.seek(since)
        kept = [row for row in log if STOPPED not in row]
        log.seek(since)
        log.truncate()
        log.writelines(kept)


def startup_error(home: Path, *, since: int) -> str:
    """Find in the log, from `since` on, why HAProxy did not start."""
    rows = (home / LOG_FILE).read_bytes()[since:].decode(errors="replace").splitlines()
    alerts = [row.partition(" : ")[2] for row in rows if "[ALERT]" in row]
    return alerts[0] if alerts else "it did not say why"


async def wait_ready(
    *,
    child: subprocess.Popen[bytes],
    is_ready: Callable[[], Awaitable[bool]],
    seconds: float,
) -> None:
    """Return once HAProxy is ready; raises HaproxyFailed."""
    deadline = time.monotonic() + seconds
    while not await is_ready():
        if child.poll() is not None:
            raise HaproxyFailed(f"HAProxy ended with code {child.returncode} while starting")
        if time.monotonic() > deadline:
            raise HaproxyFailed(f"HAProxy was not ready after {seconds:g} s")
        await asyncio.sleep(0.01)
