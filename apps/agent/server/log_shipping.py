"""Ships output lines to the server: in order, until acknowledged, none twice, none lost.

What the server numbers without a gap (`seq`) and what lies on disk (`line`) differ once lines were
dropped because the files had outgrown their bound: one line that says so takes the place of them.
Where a workload stands is kept in FOLDER/shipped.json; what the server asks for (`next_seq`) wins.
"""

from __future__ import annotations

import random
import time
import typing
from dataclasses import dataclass, field
from pathlib import Path

from apps.agent import wire
from apps.agent.host import files
from apps.agent.workloads import output

CURSOR = "shipped.json"
# Of one workload in one batch, so that a chatty one does not keep the others waiting.
LINES, BYTES = 1000, 256 * 1024
# The server takes 32 MiB at most, and a character may become six.
BATCH_WORKLOADS = 20


@dataclass
class Reader:
    """Reads stored lines by their number; remembers where it was, so going on costs nothing."""

    folder: Path
    path: typing.Optional[Path] = None
    offset: int = 0
    line: int = 0

    def oldest(self) -> int:
        """Return the number of the oldest line that is still on disk."""
        existing = output.files(self.folder)
        return output.first_line(existing[0]) if existing else 0

    def read(self, *, line: int, count: int, size: int) -> list[output.Line]:
        """Return up to `count` lines from `line` on, about `size` bytes."""
        found: list[output.Line] = []
        if line != self.line or self.path is None:
            self._seek(line)
        while self.path is not None and len(found) < count and size > 0:
            before = len(found)
            size -= self._take(found, count, size)
            if len(found) == before and not self._next_file():
                break
        return found

    def _seek(self, line: int) -> None:
        self.path, self.offset, self.line = None, 0, line
        for path in output.files(self.folder):
            if output.first_line(path) <= line:
                self.path = path
        if self.path is None:
            return
        with self.path.open("rb") as file:
            for _ in range(line - output.first_line(self.path)):
                if not file.readline().endswith(b"\n"):
                    break
            self.offset = file.tell()

    def _take(self, found: list[output.Line], count: int, size: int) -> int:
        assert self.path is not None
        taken, before = 0, len(found)
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                while len(found) < count and taken < size:
                    raw = file.readline()
                    if not raw.endswith(b"\n"):
                        break
                    found.append(output.parse(raw[:-1]))
                    taken += len(raw)
        except FileNotFoundError:
            self.path = None
        self.offset += taken
        self.line += len(found) - before
        return taken

    def _next_file(self) -> bool:
        """Go on to the file that begins with the next line, if there is one."""
        for path in output.files(self.folder):
            if path != self.path and output.first_line(path) == self.line:
                self.path, self.offset = path, 0
                return True
        return False


@dataclass
class Shipment:
    """Where one workload's output stands: `line` is sent as `seq`, or after the note if dropped.

    One thread sends; others may read `empty_looks`.
    """

    id: str
    folder: Path
    line: int = 0
    seq: int = 0
    dropped: int = 0
    asked: bool = False
    empty_looks: int = 0  # how often there was nothing to send
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.folder / "output")
        kept = files.read_json(self.folder / CURSOR) or {}
        self.line, self.seq = int(kept.get("line", 0)), int(kept.get("seq", 0))
        self.dropped = int(kept.get("dropped", 0))

    def next(self) -> typing.Optional[wire.WorkloadLog]:
        """Return what to send next; None when all was sent.

        Before it gives lines up it asks, with a log without lines, what the server has already.
        """
        oldest = self.reader.oldest()
        if oldest > self.line:
            if not self.asked:
                return wire.WorkloadLog(self.id)
            self.dropped += oldest - self.line
            self.line = oldest
            self._save()
        lines = self.reader.read(line=self.line, count=LINES, size=BYTES)
        if not lines and not self.dropped:
            self.empty_looks += 1
            return None
        return wire.WorkloadLog(self.id, self._numbered(lines))

    def _numbered(self, lines: list[output.Line]) -> list[wire.LogLine]:
        if self.dropped:
            at = lines[0][0] if lines else time.time_ns()
            lines = [(at, f"[{self.dropped} older lines were dropped on the host]"), *lines]
        return [
            wire.LogLine(self.seq + n, files.rfc3339(at / 1e9), text)
            for n, (at, text) in enumerate(lines)
        ]

    def acknowledged(self, next_seq: int) -> bool:
        """Go to what the server wants next; True when it took something."""
        self.asked = True
        if next_seq == self.seq:
            return False
        step = next_seq - self.seq
        if step > 0:
            self.asked = False
            step -= 1 if self.dropped else 0
        self.line, self.seq, self.dropped = max(0, self.line + step), max(0, next_seq), 0
        self._save()
        return step >= 0

    def _save(self) -> None:
        kept = {"line": self.line, "seq": self.seq, "dropped": self.dropped}
        files.write_json(self.folder / CURSOR, kept)


def send_batch(
    shipments: typing.Mapping[str, Shipment],
    send: typing.Callable[[wire.LogBatch], wire.LogReceipt],
) -> bool:
    """Send one batch; False when there was nothing, or nothing was taken."""
    logs = [log for log in (one.next() for one in shipments.values()) if log is not None]
    if not logs:
        return False
    random.shuffle(logs)  # so that none waits for ever behind chatty ones
    receipt = send(wire.LogBatch(logs[:BATCH_WORKLOADS]))
    taken = False
    for log in logs[:BATCH_WORKLOADS]:
        if log.id in receipt.next_seq:
            taken |= shipments[log.id].acknowledged(receipt.next_seq[log.id])
    return taken
