"""What came of a request that waits: in memory, or on disk where the memory has no place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.hold.disk import Spool

log = logging.getLogger(__name__)

# A longer body waits on disk, whole, if there is place, so that many short ones have memory.
MOST_BYTES_IN_MEMORY = 1024 * 1024


class NoCapacity(Exception):
    """The service's bounds, or the disk, leave no place for what came."""


class Capacity(Protocol):
    """What the bounds of its service leave for a body."""

    def has_memory(self) -> bool: ...

    def has_disk(self, more_bytes: int) -> bool: ...

    def begin_spool(self) -> Spool: ...


class Body:
    """The bytes of one request in their order: those on disk, if there are any, then the others."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._buffer = bytearray()
        self._spool: Spool | None = None
        self._spooling_bytes = 0
        self._is_disk_good = True

    @property
    def memory_bytes(self) -> int:
        return len(self._buffer) + self._spooling_bytes

    def add(self, data: bytes) -> None:
        self._buffer += data

    def must_spool(self) -> bool:
        """Tell whether `spool` is to be called before more comes.

        Raise NoCapacity where the body can stay neither in memory nor on disk.
        """
        has_memory = self._capacity.has_memory()
        is_short = self._spool is None and len(self._buffer) <= MOST_BYTES_IN_MEMORY
        if is_short and has_memory:
            return False
        if self._is_disk_good and self._capacity.has_disk(len(self._buffer)):
            return True
        if not has_memory:
            raise NoCapacity
        return False

    async def spool(self) -> None:
        """Move to disk what is in memory. Raise NoCapacity."""
        data, self._buffer = self._buffer, bytearray()
        self._spooling_bytes = len(data)
        self._spool = self._spool or self._capacity.begin_spool()
        try:
            await self._spool.add(data)
        except OSError as error:
            log.warning("a body finds no place on disk: %s", error)
            self._is_disk_good = False
            self._buffer = data + self._buffer
        self._spooling_bytes = 0
        if not self._is_disk_good and not self._capacity.has_memory():
            raise NoCapacity

    async def pieces(self) -> AsyncIterator[bytes | bytearray]:
        """Give, and forget, what came and comes meanwhile. Raise OSError."""
        if self._spool is not None:
            async for piece in self._spool.pieces():
                yield piece
            self._spool.close()
        while self._buffer:
            data, self._buffer = self._buffer, bytearray()
            yield data

    def close(self) -> None:
        """Give the place on disk back."""
        if self._spool is not None:
            self._spool.close()
