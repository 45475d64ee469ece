"""A working folder as one archive: the same content gives the same hash, wherever and whenever.

tar (PAX) in gzip, sorted, with the files' times, without owners and personal modes.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from apps.cli.errors import CliError
from apps.cli.render.console import clean
from apps.cli.render.words import size
from apps.cli.upload.collecting import Collection, Entry
from apps.core.archive import contents

# Unpacked, an archive may be this many times its limit: the server stops there.
UNPACKED_FACTOR = 4
# 3 is twice as fast as 6 and 3 % larger on code; most large files do not shrink at all.
_LEVEL = 3
_CHUNK = 256 * 1024

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class Archive:
    """A packed folder: an open file at its beginning, the hash of what it holds, its size."""

    file: IO[bytes]
    hash: str
    size_bytes: int


def pack(
    collection: Collection, file: IO[bytes], *, on_bytes: OnBytes, limit_bytes: int
) -> Archive:
    """Pack a folder into an open, empty file.

    `on_bytes` is told how many bytes of files were read since the last time. Raise CliError when
    the archive gets larger than the limit, or what is packed larger than the server unpacks.
    """
    if collection.total_bytes > UNPACKED_FACTOR * limit_bytes:
        raise too_large(collection, collection.total_bytes, UNPACKED_FACTOR * limit_bytes)
    sink = _Sink(file, limit_bytes)
    try:
        packed = _pack(collection, sink, on_bytes)
    except _Full:
        raise too_large(collection, sink.size_bytes, limit_bytes) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # said alike wherever a command writes
        raise CliError(f"The folder cannot be packed: {error.strerror}.") from error
    file.seek(0)
    return Archive(file, contents.hash_of(packed), sink.size_bytes)


def too_large(collection: Collection, size_bytes: int, limit_bytes: int) -> CliError:
    """Say what to leave out of a folder that is too large."""
    return CliError(
        f"The folder is too large to upload ({size(size_bytes)} or more, the limit is "
        f"{size(limit_bytes)}). Leave out what the service does not need with .dstackignore; "
        "the biggest files are:",
        notes=collection.biggest(),
    )


class _Full(Exception):
    """The limit is reached."""


class _Sink(io.RawIOBase):
    """Writes to a file and stops at the limit."""

    def __init__(self, file: IO[bytes], limit_bytes: int) -> None:
        self.size_bytes = 0
        self._file = file
        self._limit_bytes = limit_bytes

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.size_bytes > self._limit_bytes:
            # What tar and gzip still hold when they are thrown away may go nowhere.
            return len(data)
        self.size_bytes += len(data)
        if self.size_bytes > self._limit_bytes:
            raise _Full
        try:
            return self._file.write(data)
        except OSError:
            self.size_bytes = self._limit_bytes + 1
            raise


def _pack(collection: Collection, sink: _Sink, on_bytes: OnBytes) -> contents.Entries:
    """Return what was packed: files that cannot be read any more are left out."""
    zipped = gzip.GzipFile("", "wb", _LEVEL, sink, mtime=0)
    tar = tarfile.open(  # noqa: SIM115 - closed below, but not when the limit is reached
        fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK
    )
    packed: contents.Entries = {}
    for entry in collection.entries:
        added = _add(tar, collection, entry, on_bytes)
        if added is not None:
            packed[entry.path] = added
    tar.close()
    zipped.close()
    return packed


def _add(
    tar: tarfile.TarFile, collection: Collection, entry: Entry, on_bytes: OnBytes
) -> contents.Entry | None:
    info = tarfile.TarInfo(entry.path)
    info.mtime = entry.time
    info.mode = 0o755 if entry.executable or entry.kind != "file" else 0o644
    if entry.kind == "folder":
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return contents.Entry(contents.FOLDER)
    if entry.kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(info)
        return contents.Entry(contents.LINK, entry.target)
    return _add_file(tar, collection, info, on_bytes)


def _add_file(
    tar: tarfile.TarFile, collection: Collection, info: tarfile.TarInfo, on_bytes: OnBytes
) -> contents.Entry | None:
    path = collection.root / info.name
    try:
        # The path may have become a link or a pipe since it was listed.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        collection.leave_out(info.name, str(error.strerror))
        return None
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            collection.leave_out(info.name, "no longer a file")
            return None
        info.size, info.mtime = before.st_size, contents.kept_time(before.st_mtime)
        reading = _Reading(file, info.name, info.size, on_bytes)
        tar.addfile(info, reading)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        collection.warnings.append(f"{info.name} changed while it was packed.")
    return contents.Entry(
        contents.FILE, reading.digest.hexdigest(), contents.unpacked_mode(info.mode)
    )


class _Reading(io.RawIOBase):
    """The bytes of a file, exactly as many as its header in the archive says."""

    def __init__(self, file: IO[bytes], name: str, size_bytes: int, on_bytes: OnBytes) -> None:
        self._file = file
        self._name = name
        self._left = size_bytes
        self._on_bytes = on_bytes
        self.digest = hashlib.sha256()

    def read(self, amount: int = -1) -> bytes:
        wanted = self._left if amount < 0 else min(amount, self._left)
        data = self._file.read(wanted)
        if len(data) < wanted:
            raise CliError(
                f"{clean(self._name)} became shorter while it was packed: run again when nothing "
                "writes to it, or add it to .dstackignore."
            )
        self._left -= len(data)
        self.digest.update(data)
        self._on_bytes(len(data))
        return data
