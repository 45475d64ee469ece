"""What a packed folder (tar.gz) holds, and its hash: the same contents have the same one.

Times, owners, order and compression are no part of the hash, so that a folder is stored once
however often it is touched or packed again. Standard library only: the command line has it too.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import IO, Any

# The first and the last day that a zip can hold in whatever zone; tar holds more.
EARLIEST = int(datetime(1980, 1, 2, tzinfo=UTC).timestamp())
LATEST = int(datetime(2107, 12, 30, tzinfo=UTC).timestamp())
FILE, FOLDER, LINK, HARD_LINK = "file", "folder", "link", "hard link"
MOST_ENTRIES = 100_000
# A long name or its like comes as an entry of its own, which tarfile reads into memory.
MOST_HEADER_BYTES = 2**20
CHUNK_BYTES = 256 * 1024
HEADER_TYPES = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
BROKEN = (tarfile.TarError, EOFError, zlib.error, ValueError, RecursionError, OSError)


class Unsound(Exception):
    """An archive that cannot be read or holds what no folder has; the text says what."""


class TooMuch(Exception):
    """An archive that unpacks to more than it may."""


@dataclass(frozen=True)
class Entry:
    """`content` is a file's SHA-256 or a link's target, `mode` a file's as it is unpacked."""

    kind: str
    content: str = ""
    mode: int = 0
    time: int = EARLIEST


Entries = dict[str, Entry]


def kept_time(seconds: float) -> int:
    """Return a time that every archive and zip can hold, the nearest to what was given."""
    if seconds != seconds:  # a float that is no number
        return EARLIEST
    return int(min(max(seconds, EARLIEST), LATEST))


def hash_of(entries: Entries) -> str:
    """Return the hash of a folder's contents. Raise Unsound for a name that is no text."""
    digest = hashlib.sha256(b"a folder\n")
    folders = {path: Entry(FOLDER) for path in _above(entries)}
    for path, entry in sorted({**folders, **entries}.items()):
        line = f"{entry.kind}\0{entry.mode:o}\0{path}\0{entry.content}\0\n"
        try:
            digest.update(line.encode("utf-8", "surrogateescape"))
        except UnicodeEncodeError as error:
            raise Unsound(f"it holds a name that is no text: {path[:80]!r}") from error
    return digest.hexdigest()


def _above(entries: Iterable[str]) -> Iterator[str]:
    for path in entries:
        yield from accumulate(path.split("/")[:-1], lambda above, part: f"{above}/{part}")


def read(archive: IO[bytes], *, most_bytes: int) -> Entries:
    """Return what a tar.gz unpacks to, by path. Raise Unsound and TooMuch."""
    try:
        with tarfile.open(fileobj=archive, mode="r:gz", tarinfo=_Header) as tar:
            return _read(tar, most_bytes)
    except BROKEN as error:
        raise Unsound(f"it is not a sound tar.gz archive ({error})") from error


def _read(tar: tarfile.TarFile, most_bytes: int) -> Entries:
    found: Entries = {}
    left, count = most_bytes, 0
    while (member := tar.next()) is not None:
        # tarfile remembers every entry, for looking up by name, which we never do.
        tar.members = []  # type: ignore[attr-defined]
        left, count = left - member.size, count + 1
        if left < 0 or count > MOST_ENTRIES:
            raise TooMuch
        path = "/".join(part for part in member.name.split("/") if part not in ("", "."))
        if path:
            # The last entry of a name wins, as with tar.
            found[path] = _entry(tar, member)
    return found


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    time = kept_time(member.mtime)
    if member.isdir():
        return Entry(FOLDER, time=time)
    if member.issym():
        return Entry(LINK, member.linkname, time=time)
    if member.islnk():
        return Entry(HARD_LINK, member.linkname, time=time)
    file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if file is None:
        raise Unsound(f"it holds something that is no file, folder or link: {member.name[:80]!r}")
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    return Entry(FILE, digest.hexdigest(), unpacked_mode(member.mode), time)


def unpacked_mode(mode: int) -> int:
    """Return the mode that a file has when it is unpacked."""
    return mode & 0o755 | 0o600


class _Header(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type in HEADER_TYPES and header.size > MOST_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        if header.size < 0:
            raise tarfile.ReadError("a size is negative")
        return header
