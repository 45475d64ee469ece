"""What a workload's thread wants from whatever runs it: plain processes or a container engine."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path

from apps.agent import wire
from apps.agent.host import disk, procs, usage

# Anything that reports to the person what is being done: "pulling image 1.2/3.4 GB".
Say = typing.Callable[[str], None]
# Called often during long work; raises Cancelled when the workload is to stop.
Check = typing.Callable[[], None]

# What a shell means by them; a program may mean something else, so the log is named too.
EXIT_CODES: dict[typing.Optional[int], str] = {
    126: ": a command was found but cannot be run (is it executable, and for this processor?)",
    127: ": command not found (its log says which one; is it installed, and on PATH?)",
}
BY_WHOM = " (by hand, or by its host because memory ran short there)"


class PrepareFailed(Exception):
    """The workload cannot start; the text is for the person who wrote the service file."""

    reason = wire.REASON_PREPARE_FAILED


class EngineMissing(PrepareFailed):
    """No container engine answers: the workload may do better elsewhere, or later."""

    reason = wire.REASON_ENGINE_AWAY


class Cancelled(Exception):
    """The workload was asked to stop before it started."""


@dataclass(frozen=True)
class End:
    """How a workload ended; `at` in seconds since 1970."""

    code: typing.Optional[int]
    reason: str
    message: str
    at: float


@dataclass(frozen=True)
class Sighting:
    """What there is of a workload: nothing yet (`started_at` None), running, or ended."""

    started_at: typing.Optional[float] = None
    pid: typing.Optional[int] = None
    end: typing.Optional[End] = None

    @property
    def is_running(self) -> bool:
        return self.started_at is not None and self.end is None


@dataclass(frozen=True)
class Place:
    """Where a running workload accepts connections; `taken_port` belongs to somebody else.

    Without an address, `port` is where it should listen and `hint` says what it does instead.
    """

    address: typing.Optional[str] = None
    port: typing.Optional[int] = None
    taken_port: typing.Optional[int] = None
    hint: str = ""


class Executor(typing.Protocol):
    """Runs one workload. All of it may be called again after `kill -9` at any point."""

    output: Path

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        """Get everything ready and return remarks for the workload's log.

        Raise PrepareFailed or Cancelled.
        """
        ...

    def start(self) -> None:
        """Start what was prepared, once. Raise PrepareFailed."""
        ...

    def adopt(self) -> None:
        """Take up what an earlier agent started."""
        ...

    def sight(self) -> Sighting: ...

    def renew(self, spec: wire.WorkloadSpec) -> None:
        """Take over what a changed spec says of one that runs; most can change nothing then."""
        ...

    def place(self) -> Place: ...

    def image_pin(self) -> str:
        """Return what means the image that it runs for good; "" where there is none."""
        ...

    def is_cut_off(self) -> bool:
        """Tell whether what runs it is away, so that nothing can be said of it for now."""
        ...

    def listens(self) -> bool:
        """Tell whether something is seen to listen on the port inside."""
        ...

    def why_not_reached(self) -> str:
        """Return why its address does not answer, in words for the person; "" if unknown."""
        ...

    def usage(self, table: procs.Table) -> typing.Optional[usage.Used]:
        """Return what it uses, by a look at all processes; None if nothing."""
        ...

    def stop(self, *, seconds: float) -> None:
        """Begin to stop it: kindly, then by force after `seconds`."""
        ...

    def release(self) -> None:
        """Give back what an ended workload holds; its files stay."""
        ...

    def remove(self) -> None:
        """Leave nothing behind but the output."""
        ...


def how_it_ended(
    *,
    code: typing.Optional[int],
    signal: typing.Optional[int],
    seconds: float,
    out_of_memory: bool,
    memory_limit_mib: typing.Optional[int],
    shared_memory: bool = False,
) -> tuple[str, str]:
    """Return the reason and the sentence for an end that nobody asked for.

    `out_of_memory` is that something of it was killed for that, which may have been a child long
    before: the end itself is by memory only where it was a SIGKILL. With `shared_memory` it was
    that of all replicas of the host together.
    """
    after = f"after {duration(seconds)}"
    limit = f"its {disk.in_words(memory_limit_mib)} of memory" if memory_limit_mib else "its memory"
    if shared_memory:
        limit = "was left of the memory that this host has for replicas"
    killed = signal == 9 or code == 137
    if out_of_memory and killed:
        return wire.REASON_OUT_OF_MEMORY, f"killed {after}: it used more than {limit}"
    before = "; before that, one of its processes was killed because it used more than "
    known = f"{before}{limit}" if out_of_memory else ""
    if signal is not None:
        guess = BY_WHOM if killed else ""
        return wire.REASON_EXITED, f"killed by signal {signal} {after}{guess}{known}"
    return wire.REASON_EXITED, f"exited with code {code} {after}{EXIT_CODES.get(code, '')}{known}"


def duration(seconds: float) -> str:
    """Write a duration as a person says it: 0.3 s, 42 s, 5 min, 3.2 h."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
