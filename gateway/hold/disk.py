"""Bodies that wait on disk, each in a file without a name, so that none outlives the process.

A disk may be slow, so it is only touched in threads; those that write hold up none that read.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

Result = TypeVar("Result")

PIECE_BYTES = 256 * 1024
# The gateway's own files need a place too, and so may the database beside it.
LEAST_FREE_BYTES = 512 * 1024 * 1024
THREADS = 2


class Spool:
    """One body. Adding and reading come one after the other; `close` may come at any time.

    `bytes` is what was added, also while it is being written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        writers: ThreadPoolExecutor,
        readers: ThreadPoolExecutor,
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        self._folder = folder
        self._writers = writers
        self._readers = readers
        self._least_free_bytes = least_free_bytes
        self._file: IO[bytes] | None = None
        self._is_busy = False
        self.is_closed = False
        self.bytes = 0

    async def add(self, data: bytes | bytearray) -> None:
        """Write on. Raise OSError, and has added nothing then.

        That is so before the disk is full to its last byte.
        """
        start = self.bytes
        self.bytes += len(data)
        try:
            await self._do(self._writers, partial(self._write, data, start))
        except OSError:
            self.bytes = start
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body from its start. Raise OSError."""
        position = 0
        while position < self.bytes and not self.is_closed:
            piece = await self._do(self._readers, partial(self._read, position))
            position += len(piece)
            yield piece

    def close(self) -> None:
        """Give the place back, once a thread that uses the file is done."""
        self.is_closed = True
        if not self._is_busy:
            self._shut()

    async def _do(self, pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        self._is_busy = True
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        finally:
            self._is_busy = False
            if self.is_closed:
                self._shut()

    def _write(self, data: bytes | bytearray, start: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - closed by `_shut`
                buffering=0, dir=self._folder
            )
        number = self._file.fileno()
        disk = os.fstatvfs(number)
        if disk.f_bavail * disk.f_frsize - len(data) < self._least_free_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rest = memoryview(data)
        while rest:
            written = os.pwrite(number, rest, start)
            start += written
            rest = rest[written:]

    def _read(self, start: int) -> bytes:
        piece = b"" if self._file is None else os.pread(self._file.fileno(), PIECE_BYTES, start)
        if not piece:
            raise OSError(errno.EIO, "a body on disk is shorter than it was")
        return piece[: self.bytes - start]

    def _shut(self) -> None:
        """Freeing a gigabyte takes a while as well."""
        file, self._file = self._file, None
        if file is not None:
            self._writers.submit(file.close)


class Disk:
    """How much of which service's bodies lies on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers, self._readers = ThreadPoolExecutor(THREADS), ThreadPoolExecutor(THREADS)
        self._spools: dict[int, list[Spool]] = {}

    def begin(self, slot: int) -> Spool:
        spool = Spool(self._folder, writers=self._writers, readers=self._readers)
        self._spools.setdefault(slot, []).append(spool)
        return spool

    def used_bytes(self, slot: int) -> int:
        """Sum up what has not been given back yet."""
        left = [each for each in self._spools.pop(slot, []) if not each.is_closed]
        if left:
            self._spools[slot] = left
        return sum(each.bytes for each in left)
