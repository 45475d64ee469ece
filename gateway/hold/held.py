"""One held connection: its bytes wait here, then pass through as they are.

Nothing of the request is parsed, so there are no second rules of framing that could differ from
HAProxy's. A body is taken in to its end, in memory or on disk, since HAProxy does not notice that a
caller left while it cannot pass on what the caller sent. What the bounds of the service leave no
place for is refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol, cast

from gateway.hold import ticket
from gateway.hold.disk import Spool
from gateway.hold.ticket import BadTicket, Ticket
from gateway.hold.way import Way

log = logging.getLogger(__name__)

# A longer body waits on disk, whole, if there is place, so that many short ones have memory.
MOST_BYTES_IN_MEMORY = 1024 * 1024
# The caller's form of this error is HAProxy's to choose: see `inner_error` in static.cfg.
ERROR = (
    b"HTTP/1.1 %b\r\nContent-Type: application/x-gateway-error\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
REFUSAL = ERROR % b"503 Service Unavailable"
# A replica may have had it: see `gateway.hold.journal`.
LOST = ERROR % b"502 Bad Gateway"


class Keeper(Protocol):
    """Who decides over held connections."""

    def arrived(self, held: Held) -> None: ...

    def has_memory(self, held: Held) -> bool: ...

    def has_disk(self, held: Held, more_bytes: int) -> bool: ...

    def begin_spool(self, held: Held) -> Spool: ...

    def left(self, held: Held) -> None: ...

    def answered(self, held: Held) -> None: ...

    def releasing(self, held: Held) -> None: ...


class Held(asyncio.Protocol):
    """A request that waits; `ticket` says for what. It ends released, refused, or left."""

    ticket: Ticket

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._way: Way | None = None
        self._buffer = bytearray()
        self._spool: Spool | None = None
        self._spilling: asyncio.Task[None] | None = None
        self._is_known = False
        self._is_behind = False
        self.since = time.monotonic()
        self.is_released = False

    @property
    def memory_bytes(self) -> int:
        """What stays in memory: what is on its way to the disk does not count."""
        return 0 if self._spilling else len(self._buffer)

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def refuse(self, error: bytes = REFUSAL) -> None:
        """This function will answer an error, 503 unless told, and end the connection."""
        if self._transport is not None and self._way is None:
            self._transport.write(error)
            self._transport.close()

    async def release(self, path: str) -> None:
        """This function will hand the request back to HAProxy, at the socket `path`."""
        self.is_released = True
        seconds = time.monotonic() - self.since
        self.pause_reading()
        if self._spilling is not None:
            await self._spilling
        try:
            loop = asyncio.get_running_loop()
            _, way = await loop.create_unix_connection(lambda: Way(self), path)
        except OSError:
            self.refuse()
            return
        if self.is_closed:
            way.close()
            return
        self._way, self._is_behind = way, True
        self._keeper.releasing(self)
        way.write(ticket.write(self.ticket, seconds=seconds))
        await self._send_what_waited(way)
        self._is_behind = False
        self.resume_reading()

    async def _send_what_waited(self, way: Way) -> None:
        if self._spool is not None:
            try:
                async for piece in self._spool.pieces():
                    await way.ready()
                    if way.is_closed:
                        break
                    way.write(piece)
            except OSError as error:
                log.warning("a body that waited on disk cannot be read: %s", error)
                way.close()
            self._spool.close()
        way.write(self._buffer)
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._way is not None:
            self._way.write(data)
            return
        self._buffer += data
        if not self._is_known:
            self._introduce()
        if self._is_known and not self.is_closed:
            self._find_place()

    def _find_place(self) -> None:
        size = len(self._buffer)
        is_short = size <= MOST_BYTES_IN_MEMORY or not self._keeper.has_disk(self, size)
        if self._spool is not None or not (is_short and self._keeper.has_memory(self)):
            self.pause_reading()
            self._spilling = asyncio.create_task(self._spill())

    async def _spill(self) -> None:
        """Move what is in memory to disk, and read on then."""
        if not self._keeper.has_disk(self, len(self._buffer)):
            self.refuse()
            return
        self._spool = self._spool or self._keeper.begin_spool(self)
        try:
            await self._spool.add(bytes(self._buffer))
        except OSError as error:
            log.warning("a body finds no place on disk: %s", error)
            self.refuse()
            return
        self._buffer.clear()
        self._spilling = None
        if not self.is_released:
            self.resume_reading()

    def _introduce(self) -> None:
        try:
            known = ticket.parse(bytes(self._buffer))
        except BadTicket:
            self.drop()
            return
        if known is not None:
            self.ticket, self._buffer = known[0], bytearray(known[1])
            self._is_known = True
            self._keeper.arrived(self)

    def eof_received(self) -> bool:
        # HAProxy ends a request that it no longer wants by closing, never by half.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._way is not None:
            self._way.close()
        if self._spool is not None:
            self._spool.close()
        if self._is_known:
            self._keeper.left(self)

    def pause_writing(self) -> None:
        if self._way is not None:
            self._way.pause_reading()

    def resume_writing(self) -> None:
        if self._way is not None:
            self._way.resume_reading()

    def answer(self, data: bytes, *, is_first: bool) -> None:
        """This function will pass a piece of the answer on."""
        if is_first:
            self._keeper.answered(self)
        if self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        """This function will end the connection once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not (self._is_behind or self._transport.is_closing()):
            self._transport.resume_reading()
