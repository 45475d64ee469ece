"""Follows a container's output into the workload's own files, so that shipping knows one format.

The engine stamps each piece of a line. Resumed after a restart of the agent, it reads a little of
what is already there again and drops what was written before, by these stamps.
"""

from __future__ import annotations

import calendar
import time
import typing
from pathlib import Path

from apps.agent.workloads import output

HEADER_BYTES = 8
# Pieces of one long line may come with a line of the other stream in between.
LOOK_BACK_NANOSECONDS = 5_000_000_000
STDOUT, STDERR = 1, 2


class Follower:
    """Turns the engine's stream into stored lines; `since` is where to begin to read."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._written_until, self._written_then = _last(folder)
        self._writer = output.Writer(folder, max_bytes=max_bytes)
        self._splitters = {STDOUT: output.Splitter(), STDERR: output.Splitter()}
        self._rest = b""
        self._stamp = 0
        self._seconds: tuple[str, int] = ("", 0)

    @property
    def since(self) -> str:
        """Seconds since 1970 as the engine takes them, with nanoseconds."""
        at = max(0, self._written_until - LOOK_BACK_NANOSECONDS)
        return f"{at // 10**9}.{at % 10**9:09d}"

    def feed(self, data: bytes) -> bool:
        """Store the lines that `data` completes; True when there were any."""
        lines: list[output.Line] = []
        self._rest += data
        while len(self._rest) >= HEADER_BYTES:
            size = int.from_bytes(self._rest[4:HEADER_BYTES], "big")
            if len(self._rest) < HEADER_BYTES + size:
                break
            frame = self._rest[HEADER_BYTES : HEADER_BYTES + size]
            lines += self._frame(self._rest[0], frame)
            self._rest = self._rest[HEADER_BYTES + size :]
        return self._store(lines)

    def close(self) -> None:
        """Store lines that were begun and never ended."""
        for splitter in self._splitters.values():
            self._store([(self._stamp, line) for line in splitter.flush()])
        self._writer.close()

    def _frame(self, stream: int, frame: bytes) -> list[output.Line]:
        stamp, _, text = frame.partition(b" ")
        self._stamp = self._nanoseconds(stamp.decode("ascii", "replace"))
        splitter = self._splitters.get(stream, self._splitters[STDOUT])
        return [(self._stamp, line) for line in splitter.feed(text)]

    def _store(self, lines: list[output.Line]) -> bool:
        fresh = [line for line in lines if self._is_fresh(line[0])]
        self._writer.append(fresh)
        return bool(fresh)

    def _is_fresh(self, at: int) -> bool:
        if at > self._written_until:
            return True
        if at == self._written_until and self._written_then == 0:
            return True
        if at == self._written_until:
            self._written_then -= 1
        return False

    def _nanoseconds(self, stamp: str) -> int:
        """2026-11-23T22:28:28.596667123Z as nanoseconds since 1970."""
        whole, _, fraction = stamp.rstrip("Z").partition(".")
        if whole != self._seconds[0]:
            try:
                at = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
            except ValueError:
                return self._stamp
            self._seconds = (whole, at)
        return self._seconds[1] * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def _last(folder: Path) -> tuple[int, int]:
    """When the last stored line was written, and how many lines were written at that very time."""
    stamps = [at for at, _ in _stored_tail(folder)]
    return (stamps[-1], stamps.count(stamps[-1])) if stamps else (0, 0)


def _stored_tail(folder: Path) -> typing.Iterator[output.Line]:
    for path in output.files(folder)[-2:]:
        with path.open("rb") as file:
            yield from (output.parse(raw[:-1]) for raw in file if raw.endswith(b"\n"))
