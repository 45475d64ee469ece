"""Keeps children running: starts them, restarts what dies or hangs, stops all in order.

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

from dstack_web import processes
from dstack_web.embedded import backoff, leftovers
from dstack_web.embedded.backoff import Ends
from dstack_web.embedded.children import Child
from dstack_web.embedded.home import Home
from dstack_web.embedded.watch import PULSE_VARIABLE, Watching
from dstack_web.processes import ProcessId, StartFailed

TICK_SECONDS = 0.5
# A supervisor that is this late lacks the processor, or was asleep, as its children did.
LATE_SECONDS = 3.0
UNWATCHED_CAME_UP_SECONDS = 5
STARTS_AT_FIRST = 4  # while the server starts, a child that ends this often will not come up
LONGEST_LOG_BYTES = 20 * 2**20


class StopRequested(Exception):
    """The person asked the server to stop."""


@dataclass
class Running:
    """A child and its process now. `due_at` is when to start it again, None while it lives.

    `hung_ends` are the signals left for one that hangs, None while it works; the next one is due
    at `end_at`.
    """

    child: Child
    process: subprocess.Popen[bytes]
    started_at: float
    watching: Watching | None
    ends: Ends = field(default_factory=Ends)
    due_at: float | None = None
    hung_ends: list[tuple[signal.Signals, float]] | None = None
    end_at: float = 0.0


@dataclass
class Supervisor:
    """All children of one server. `say` shows one line to the person."""

    home: Home
    say: Callable[[str], None]
    running: dict[str, Running] = field(default_factory=dict)
    is_starting: bool = True
    stop_signals: frozenset[signal.Signals] = frozenset()
    looked_at: float = 0.0

    def take_signals(self) -> None:
        """Make stop requests wait to be asked for; call it before anything."""
        wanted = {signal.SIGTERM, signal.SIGINT}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as it is below nohup
            wanted.add(signal.SIGHUP)
        self.stop_signals = frozenset(wanted)
        signal.pthread_sigmask(signal.SIG_BLOCK, {*wanted, signal.SIGCHLD})

    def start(self, child: Child) -> None:
        log = self.home.log(child.name)
        if log.exists():  # one earlier run is kept
            log.replace(older(log))
        watching = Watching(child.watch) if child.watch else None
        process, now = self._spawn(child, watching), time.monotonic()
        self.running[child.name] = Running(child, process, now, watching)
        self._note()

    def wait_ready(self, children: Iterable[Child], *, seconds: float) -> None:
        """Return once every child is ready, keeping all of them running.

        Raise StartFailed naming the child that is not, and StopRequested.
        """
        deadline = time.monotonic() + seconds
        for child in children:
            while not child.is_ready():
                if time.monotonic() > deadline:
                    raise StartFailed(self._why_not(child, f"not ready after {seconds:g} s"))
                self.tick(0.05)

    def run_once(self, child: Child, *, seconds: float) -> int:
        """Run a command to its end and return its code, keeping the rest alive.

        Raise StartFailed when it takes longer, and StopRequested.
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
        """Keep all children running; it ends only by StopRequested."""
        self.is_starting = False
        rotated_at = time.monotonic()
        self._forgive_all()
        while True:
            self.tick(TICK_SECONDS)
            self._look_for_hung()
            if time.monotonic() - rotated_at > 10:
                self._rotate_logs()
                rotated_at = time.monotonic()

    def tick(self, seconds: float) -> None:
        """Wait a little, or until a child ends, and restart what is due."""
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

    def _forgive_all(self) -> None:
        self.looked_at = awake_or_asleep()
        for entry in self.running.values():
            if entry.watching:
                entry.watching.forgive(at=time.monotonic())

    def _look_for_hung(self) -> None:
        late = awake_or_asleep() - self.looked_at - TICK_SECONDS
        if late > LATE_SECONDS:
            self._forgive_all()
        self.looked_at, now = awake_or_asleep(), time.monotonic()
        for entry in self.running.values():
            if entry.watching is None or entry.due_at is not None:
                continue
            if entry.hung_ends is not None:
                if now >= entry.end_at:
                    self._end_hung(entry, entry.hung_ends)
                continue
            is_stopped = processes.is_stopped(entry.process.pid)
            if entry.watching.hangs(at=now, is_stopped=is_stopped):
                silent = entry.watching.silent_seconds(at=now)
                self.say(f"{entry.child.name} has not answered for {silent:.0f} s; ending it")
                self._end_hung(entry, list(entry.child.hung_signals))

    def _end_hung(self, entry: Running, ends: list[tuple[signal.Signals, float]]) -> None:
        how, seconds = ends.pop(0) if ends else (signal.SIGKILL, LATE_SECONDS)
        entry.hung_ends, entry.end_at = ends, time.monotonic() + seconds
        processes.end_now(entry.process.pid, how)

    def stop(self, stages: Iterable[Iterable[str]]) -> None:
        """Stop the named children stage by stage, those of a stage at once."""
        for names in stages:
            self._stop_together([self.running[name] for name in names if name in self.running])
        leftovers.note(self.home.folder("run") / "children.json", {})

    def _stop_together(self, entries: list[Running]) -> None:
        started_at = time.monotonic()
        for entry in entries:
            if entry.process.poll() is None:
                processes.end_now(entry.process.pid, entry.child.stop_signal)
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

    def _spawn(self, child: Child, watching: Watching | None = None) -> subprocess.Popen[bytes]:
        pulse = watching.pulse if watching else None
        more = {PULSE_VARIABLE: str(pulse.write_end)} if pulse else {}
        return processes.spawn(
            argv=child.argv,
            env={**child.env, **more},
            log=self.home.log(child.name),
            cwd=self.home.server,
            death_signal=child.death_signal,
            keep_open=(pulse.write_end,) if pulse else (),
        )

    def _ended(self, entry: Running) -> None:
        """Plan the restart of a child that has just ended."""
        processes.kill_session(entry.process.pid)
        code, lived = entry.process.returncode, time.monotonic() - entry.started_at
        watching = entry.watching
        came_up = watching.has_answered if watching else lived > UNWATCHED_CAME_UP_SECONDS
        entry.ends, delay = backoff.after(
            entry.ends, code=code, lived_seconds=lived, came_up=came_up
        )
        how = f"ended ({ending(code)})"
        if self.is_starting and entry.ends.count >= STARTS_AT_FIRST:
            raise StartFailed(self._why_not(entry.child, how))
        entry.due_at = time.monotonic() + delay
        log = self.home.log(entry.child.name)
        self.say(f"{entry.child.name} {how}; starting it again in {delay:g} s. Its log: {log}")

    def _restart(self, entry: Running) -> None:
        entry.process = self._spawn(entry.child, entry.watching)
        entry.started_at = time.monotonic()
        entry.due_at = entry.hung_ends = None
        if entry.watching:
            entry.watching.begin(at=entry.started_at)
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
    """Return when the process has ended, or at `deadline` (monotonic)."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(deadline - time.monotonic(), 0))


def awake_or_asleep() -> float:
    """Return a time that goes on while the machine sleeps, as `time.monotonic` does not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def older(log: Path) -> Path:
    return log.with_suffix(".log.1")


def ending(code: int) -> str:
    if code >= 0:
        return f"code {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
