"""What a workload's thread wants from whatever runs it: plain processes or a container engine."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from pathlib import Path

from apps.agent import procs, usage, wire

# Anything that reports to the person what is being done: "pulling image 1.2/3.4 GB".
Say = typing.Callable[[str], None]
# Called often during long work; raises Cancelled when the workload is to stop.
Check = typing.Callable[[], None]


class PrepareFailed(Exception):
    """The workload cannot start; the text is for the person who wrote the service file."""


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

    Without an address, `port` is where it should listen.
    """

    address: typing.Optional[str] = None
    port: typing.Optional[int] = None
    taken_port: typing.Optional[int] = None


class Executor(typing.Protocol):
    """Runs one workload. All of it may be called again after `kill -9` at any point."""

    output: Path

    def prepare(self, *, say: Say, check: Check) -> list[str]:
        """This function will get everything ready and return remarks for the workload's log.

        Raises PrepareFailed or Cancelled.
        """
        ...

    def start(self) -> None:
        """This function will start what was prepared, once. Raises PrepareFailed."""
        ...

    def adopt(self) -> None:
        """This function will take up what an earlier agent started."""
        ...

    def sight(self) -> Sighting: ...

    def place(self) -> Place: ...

    def usage(self, table: procs.Table) -> typing.Optional[usage.Used]:
        """This function will return what it uses, by a look at all processes; None if nothing."""
        ...

    def stop(self, *, seconds: float) -> None:
        """This function will begin to stop it: kindly, then by force after `seconds`."""
        ...

    def release(self) -> None:
        """This function will give back what an ended workload holds; its files stay."""
        ...

    def remove(self) -> None:
        """This function will leave nothing behind but the output."""
        ...


def how_it_ended(
    *,
    code: typing.Optional[int],
    signal: typing.Optional[int],
    seconds: float,
    out_of_memory: bool,
    memory_limit_mib: typing.Optional[int],
) -> tuple[str, str]:
    """This function will return the reason and the sentence for an end that nobody asked for."""
    after = f"after {duration(seconds)}"
    if out_of_memory:
        limit = f"its {memory_limit_mib} MiB of memory" if memory_limit_mib else "its memory"
        return wire.REASON_OUT_OF_MEMORY, f"killed {after}: it used more than {limit}"
    if signal is not None:
        guess = " (out of memory?)" if signal == 9 else ""
        return wire.REASON_EXITED, f"killed by signal {signal} {after}{guess}"
    known = {126: ": the command cannot be run", 127: ": command not found"}.get(code or 0, "")
    return wire.REASON_EXITED, f"exited with code {code} {after}{known}"


def duration(seconds: float) -> str:
    """This function will write a duration as a person says it: 0.3 s, 42 s, 5 min, 3.2 h."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
