"""Keeps children running: starts them, restarts what dies, stops all in order.

Signals are blocked and taken one by one from the queue, so no handler interrupts anything: the
first TERM, INT or HUP is a request to stop, and later ones stay where they are.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from dstack_web.embedded import leftovers, processes
from dstack_web.embedded.children import Child
from dstack_web.embedded.home import Home
from dstack_web.embedded.processes import ProcessId, StartFailed

TICK_SECONDS = 0.5
BACKOFF_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30)
STEADY_SECONDS = 60  # a child that lived this long is forgiven its earlier ends
STARTS_AT_FIRST = 4  # while the server starts, a child that ends this often will not come up
LONGEST_LOG_BYTES = 20 * 2**20


class StopRequested(Exception):
    """The person asked the server to stop."""


@dataclass
class Running:
    """A child and its process now. `due_at` is when to start it again, None while it lives."""

    child: Child
    process: subprocess.Popen[bytes]
    started_at: float
    ends: int = 0
    due_at: float | None = None


@dataclass
class Supervisor:
    """All children of one server. `say` shows one line to the person."""

    home: Home
    say: Callable[[str], None]
    running: dict[str, Running] = field(default_factory=dict)
    is_starting: bool = True
    stop_signals: frozenset[signal.Signals] = frozenset()

    def take_signals(self) -> None:
        """This function will make stop requests wait to be asked for; call it before anything."""
        wanted = {signal.SIGTERM, signal.SIGINT}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is below nohup
            wanted.add(signal.SIGHUP)
        self.stop_signals = frozenset(wanted)
        signal.pthread_sigmask(signal.SIG_BLOCK, {*wanted, signal.SIGCHLD})

    def start(self, child: Child) -> None:
        log = self.home.log(child.name)
        if log.exists():  # one earlier run is kept
            log.replace(older(log))
        self.running[child.name] = Running(child, self._spawn(child), time.monotonic())
        self._note()

    def wait_ready(self, children: Iterable[Child], *, seconds: float) -> None:
        """This function will return once every child is ready, keeping all of them running.

        Raises StartFailed naming the child that is not, and StopRequested.
        """
        deadline = time.monotonic() + seconds
        for child in children:
            while not child.is_ready():
                if time.monotonic() > deadline:
                    raise StartFailed(self._why_not(child, f"not ready after {seconds:g} s"))
                self.tick(0.05)

    def run_once(self, child: Child, *, seconds: float) -> int:
        """This function will run a command to its end and return its code, keeping the rest alive.

        Raises StartFailed when it takes longer, and StopRequested.
        """
        process = self._spawn(child)
        deadline = time.monotonic() + seconds
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise StartFailed(self._why_not(child, f"not done after {seconds:g} s"))
                self.tick(0.05)
        finally:
            processes.stop(process=process, how=child.stop_signal, seconds=1)
        return process.returncode

    def watch(self) -> None:
        """This function will keep all children running; it ends only by StopRequested."""
        self.is_starting = False
        rotated_at = time.monotonic()
        while True:
            self.tick(TICK_SECONDS)
            if time.monotonic() - rotated_at > 10:
                self._rotate_logs()
                rotated_at = time.monotonic()

    def tick(self, seconds: float) -> None:
        """This function will wait a little, or until a child ends, and restart what is due."""
        due = [entry.due_at - time.monotonic() for entry in self.running.values() if entry.due_at]
        seconds = max(0, min([seconds, *due]))
        found = signal.sigtimedwait({*self.stop_signals, signal.SIGCHLD}, seconds)
        if found is not None and found.si_signo in self.stop_signals:
            raise StopRequested
        for entry in self.running.values():
            if entry.due_at is None and entry.process.poll() is not None:
                self._ended(entry)
            elif entry.due_at is not None and time.monotonic() >= entry.due_at:
                self._restart(entry)

    def stop(self, stages: Iterable[Iterable[str]]) -> None:
        """This function will stop the named children stage by stage, those of a stage at once."""
        for names in stages:
            self._stop_together([self.running[name] for name in names if name in self.running])
        leftovers.note(self.home.folder("run") / "children.json", {})

    def _stop_together(self, entries: list[Running]) -> None:
        started_at = time.monotonic()
        for entry in entries:
            if entry.process.poll() is None:
                entry.process.send_signal(entry.child.stop_signal)
            else:
                self._stand_in(entry)
        # The patient ones last: each waits for its own time, counted from the signal.
        for entry in sorted(entries, key=lambda entry: entry.child.stop_seconds):
            give_up_at = started_at + entry.child.stop_seconds
            wait_until(entry.process, give_up_at)
            if (entry.process.poll() or 0) < 0:  # it did not live to hear, or did not listen yet
                self._stand_in(entry)
                wait_until(entry.process, give_up_at)
            processes.kill_session(entry.process.pid)
            entry.process.wait()
            del self.running[entry.child.name]

    def _stand_in(self, entry: Running) -> None:
        """Start what does the last work of a child that was killed."""
        processes.kill_session(entry.process.pid)
        if entry.child.if_dead is not None:
            entry.process = self._spawn(replace(entry.child, argv=entry.child.if_dead))
            self._note()

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        return processes.spawn(
            argv=child.argv,
            env=child.env,
            log=self.home.log(child.name),
            cwd=self.home.server,
            death_signal=child.death_signal,
        )

    def _ended(self, entry: Running) -> None:
        """Plan the restart of a child that has just ended."""
        processes.kill_session(entry.process.pid)
        lived = time.monotonic() - entry.started_at
        entry.ends = 1 if lived > STEADY_SECONDS else entry.ends + 1
        how = f"ended ({ending(entry.process.returncode)})"
        if self.is_starting and entry.ends >= STARTS_AT_FIRST:
            raise StartFailed(self._why_not(entry.child, how))
        delay = BACKOFF_SECONDS[min(entry.ends, len(BACKOFF_SECONDS)) - 1]
        entry.due_at = time.monotonic() + delay
        log = self.home.log(entry.child.name)
        self.say(f"{entry.child.name} {how}; starting it again in {delay:g} s. Its log: {log}")

    def _restart(self, entry: Running) -> None:
        entry.process = self._spawn(entry.child)
        entry.started_at = time.monotonic()
        entry.due_at = None
        self._note()

    def _note(self) -> None:
        alive = {
            name: found
            for name, entry in self.running.items()
            if (found := ProcessId.of(entry.process.pid))
        }
        leftovers.note(self.home.folder("run") / "children.json", alive)

    def _why_not(self, child: Child, how: str) -> str:
        log = self.home.log(child.name)
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        last = f": {lines[-1].strip()[:300]}" if lines else ""
        return f"{child.name} {how}{last} (its log: {log})"

    def _rotate_logs(self) -> None:
        """Keep one older part of each log. Children write in append mode, so a cut is safe."""
        for name in self.running:
            log = self.home.log(name)
            if log.exists() and log.stat().st_size > LONGEST_LOG_BYTES:
                shutil.copyfile(log, older(log))
                with log.open("r+b") as file:
                    file.truncate()


def wait_until(process: subprocess.Popen[bytes], deadline: float) -> None:
    """This function will return when the process has ended, or at `deadline` (monotonic)."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - time.monotonic(), 0))


def older(log: Path) -> Path:
    return log.with_suffix(".log.1")


def ending(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
