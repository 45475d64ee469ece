"""What came of a request that waits: in memory, or on disk where the memory has no place."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Protocol

from gateway.hold.disk import Spool

log = logging.getLogger(__name__)

# A longer body waits on disk, whole, if there is place, so that many short ones have memory.
MOST_BYTES_IN_MEMORY = 1024 * 1024


class NoPlace(Exception):
    """The service's bounds, or the disk, leave no place for what came."""


class Room(Protocol):
    """What the bounds of its service leave for a body."""

    def has_memory(self) -> bool: ...

    def has_disk(self, more_bytes: int) -> bool: ...

    def begin_spool(self) -> Spool: ...


class Body:
    """The bytes of one request in their order: those on disk, if there are any, then the others."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._buffer = bytearray()
        self._spool: Spool | None = None
        self._moving_bytes = 0
        self._is_disk_good = True

    @property
    def memory_bytes(self) -> int:
        return len(self._buffer) + self._moving_bytes

    def add(self, data: bytes) -> None:
        self._buffer += data

    def belongs_on_disk(self) -> bool:
        """This function will tell whether `move` is to be called before more comes.

        Raises NoPlace where the body can stay neither in memory nor on disk.
        """
        has_memory = self._room.has_memory()
        is_short = self._spool is None and len(self._buffer) <= MOST_BYTES_IN_MEMORY
        if is_short and has_memory:
            return False
        if self._is_disk_good and self._room.has_disk(len(self._buffer)):
            return True
        if not has_memory:
            raise NoPlace
        return False

    async def move(self) -> None:
        """This function will move to disk what is in memory. Raises NoPlace."""
        data, self._buffer = self._buffer, bytearray()
        self._moving_bytes = len(data)
        self._spool = self._spool or self._room.begin_spool()
        try:
            await self._spool.add(data)
        except OSError as error:
            log.warning("a body finds no place on disk: %s", error)
            self._is_disk_good = False
            self._buffer = data + self._buffer
        self._moving_bytes = 0
        if not self._is_disk_good and not self._room.has_memory():
            raise NoPlace

    async def pieces(self) -> AsyncIterator[bytes | bytearray]:
        """This function will give, and forget, what came and comes meanwhile. Raises OSError."""
        if self._spool is not None:
            async for piece in self._spool.pieces():
                yield piece
            self._spool.close()
        while self._buffer:
            data, self._buffer = self._buffer, bytearray()
            yield data

    def close(self) -> None:
        """This function will give the place on disk back."""
        if self._spool is not None:
            self._spool.close()
