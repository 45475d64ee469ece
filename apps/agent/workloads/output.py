"""The output of a workload on disk: numbered lines in rotated files of bounded size.

A file is named by the number of its first line (`00000000000000000042.log`), each of its lines is
`<nanoseconds since 1970> <text>`. So a line's number needs no index, survives any crash, and is
never given twice. One process writes (the replica's shim, or the agent for a container), the agent
reads. When the files grow past their bound the oldest is deleted, read or not.
"""

from __future__ import annotations

import contextlib
import os
import typing
from pathlib import Path

LINE_BYTES = 64 * 1024
REPLACED = "\ufffd"
CONTINUED = " [the line goes on in the next one]"
DEFAULT_MAX_BYTES = 100 * 1000 * 1000
FILES = 10

Line = tuple[int, str]  # nanoseconds since 1970, text


class Splitter:
    """Turns what a process writes into lines; not UTF-8 is replaced, long lines are split."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that `data` completes."""
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self.rest += data
            return self._cut()
        lines = _lines(self.rest + whole)
        self.rest = rest
        return lines + self._cut()

    def flush(self) -> list[str]:
        """Return the line that was begun, if any, as it is."""
        rest, self.rest = self.rest, b""
        return _lines(rest) if rest else []

    def _cut(self) -> list[str]:
        pieces = []
        while len(self.rest) > LINE_BYTES:
            piece, self.rest = _piece(self.rest)
            pieces.append(piece)
        return pieces


def _lines(data: bytes) -> list[str]:
    if len(data) <= LINE_BYTES:
        return [_clean(line) for line in data.decode("utf-8", "replace").split("\n")]
    lines = []
    for line in data.split(b"\n"):
        while len(line) > LINE_BYTES:
            piece, line = _piece(line)
            lines.append(piece)
        lines.append(_clean(line.decode("utf-8", "replace")))
    return lines


def _piece(line: bytes) -> tuple[str, bytes]:
    """The longest start of the line that ends at a character's border and leaves room to say so."""
    end = LINE_BYTES - len(CONTINUED)
    while end > LINE_BYTES - len(CONTINUED) - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return _clean(line[:end].decode("utf-8", "replace")) + CONTINUED, line[end:]


def _clean(text: str) -> str:
    # NUL cannot be stored by PostgreSQL.
    text = text.rstrip("\r").replace("\x00", REPLACED)
    # One bad byte becomes three: what is not text at all may outgrow the limit.
    if len(text) > LINE_BYTES // 3 and REPLACED in text:
        return text.encode()[:LINE_BYTES].decode("utf-8", "ignore")
    return text


class Writer:
    """Appends lines; continues where an earlier writer of the same folder ended."""

    def __init__(self, folder: Path, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.lost = 0
        folder.mkdir(mode=0o700, exist_ok=True)
        existing = files(folder)
        self.size, self.next_line = _mend(existing[-1]) if existing else (0, 0)
        self.file = self._open(existing[-1] if existing else folder / _name(self.next_line))

    def append(self, lines: typing.Sequence[Line]) -> None:
        """Write the lines at once; a full disk loses them and says so later."""
        if not lines:
            return
        if self.lost:
            note = f"[{self.lost} lines were lost here: they could not be written to the disk]"
            lines = [(lines[0][0], note), *lines]
        data = "".join(f"{at} {text}\n" for at, text in lines).encode("utf-8", "replace")
        if self._write(data):
            self.lost = 0
            self.next_line += len(lines)
            self._rotate()
        else:
            self.lost += len(lines) - (1 if self.lost else 0)

    def close(self) -> None:
        os.close(self.file)

    def _open(self, path: Path) -> int:
        return os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _write(self, data: bytes) -> bool:
        view, written = memoryview(data), 0
        try:
            while written < len(data):
                written += os.write(self.file, view[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, self.size)
            return False
        self.size += len(data)
        return True

    def _rotate(self) -> None:
        if self.size < self.max_bytes // FILES:
            return
        self.close()
        self.file, self.size = self._open(self.folder / _name(self.next_line)), 0
        old = files(self.folder)[:-1]
        total = sum(path.stat().st_size for path in old)
        # The newest full one stays: the last lines must be there.
        while len(old) > 1 and total > self.max_bytes:
            oldest = old.pop(0)
            total -= oldest.stat().st_size
            oldest.unlink()


def _name(line: int) -> str:
    return f"{line:020d}.log"


def first_line(path: Path) -> int:
    return int(path.stem)


def files(folder: Path) -> list[Path]:
    """Return the output files, oldest first; none for a missing folder."""
    try:
        return sorted(folder.glob("*.log"))
    except FileNotFoundError:
        return []


def _mend(path: Path) -> tuple[int, int]:
    """Cut off a line that a dying writer left half written; return the size and the next number."""
    size = lines = 0
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(size)
                break
            size += len(line)
            lines += 1
    return size, first_line(path) + lines


def parse(line: bytes) -> Line:
    """Take apart one stored line, given without its end."""
    at, _, text = line.decode("utf-8", "replace").partition(" ")
    return (int(at), text) if at.isdigit() else (0, text)


def tail(folder: Path, count: int = 20) -> list[str]:
    """Return the text of the last lines."""
    found: list[str] = []
    for path in reversed(files(folder)):
        with path.open("rb") as file:
            # The longest lines, and then some: enough for `count` of them.
            file.seek(max(0, path.stat().st_size - count * (LINE_BYTES + 64)))
            whole = file.read().split(b"\n")[:-1]
        found = [parse(line)[1] for line in whole[-(count - len(found)) :]] + found
        if len(found) >= count:
            break
    return found
