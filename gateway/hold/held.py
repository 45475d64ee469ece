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
from gateway.hold.body import Body, NoPlace
from gateway.hold.disk import Spool
from gateway.hold.ticket import BadTicket, Ticket
from gateway.hold.way import Way

log = logging.getLogger(__name__)

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
        self._head = b""
        self._body = Body(self)
        self._moving: asyncio.Task[None] | None = None
        self._is_known = False
        self._is_behind = False
        self.since = time.monotonic()

    @property
    def memory_bytes(self) -> int:
        return self._body.memory_bytes

    def has_memory(self) -> bool:
        return self._keeper.has_memory(self)

    def has_disk(self, more_bytes: int) -> bool:
        return self._keeper.has_disk(self, more_bytes)

    def begin_spool(self) -> Spool:
        return self._keeper.begin_spool(self)

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
        self._is_behind = True
        seconds = time.monotonic() - self.since
        if self._moving is not None:
            await self._moving
        try:
            loop = asyncio.get_running_loop()
            _, way = await loop.create_unix_connection(lambda: Way(self), path)
        except OSError:
            self.refuse()
            return
        if self.is_closed:
            way.abort()
            return
        self._way = way
        self._keeper.releasing(self)
        way.write(ticket.write(self.ticket, seconds=seconds))
        await self._catch_up(way)
        self._is_behind = False
        self._read_on()

    async def _catch_up(self, way: Way) -> None:
        """Send what waited, while the end is watched for, which tells that the caller left."""
        try:
            async for piece in self._body.pieces():
                way.write(piece)
                if self._body.memory_bytes == 0:
                    self._read_on()
                await way.ready()
                if way.is_closed:
                    break
        except OSError as error:
            log.warning("a body that waited on disk cannot be read: %s", error)
            way.abort()
        self._body.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_known:
            self._introduce(data)
        elif self._is_behind:
            self._body.add(data)
            self._halt()
        elif self._way is not None:
            self._way.write(data)
        else:
            self._body.add(data)
            self._find_place()

    def _introduce(self, data: bytes) -> None:
        self._head += data
        try:
            known = ticket.parse(self._head)
        except BadTicket:
            self.drop()
            return
        if known is not None:
            self.ticket, self._head = known[0], b""
            self._body.add(known[1])
            self._is_known = True
            self._keeper.arrived(self)
            self._find_place()

    def _find_place(self) -> None:
        if self.is_closed:
            return
        try:
            if self._body.belongs_on_disk():
                self._halt()
                self._moving = asyncio.create_task(self._move())
        except NoPlace:
            self.refuse()

    async def _move(self) -> None:
        try:
            await self._body.move()
        except NoPlace:
            self.refuse()
        self._moving = None
        if not self._is_behind:
            self._read_on()

    def eof_received(self) -> bool:
        # HAProxy ends a request that it no longer wants by closing, never by half.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._way is not None:
            self._way.abort()
        self._body.close()
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
        """This function will let the caller wait for the replica."""
        if not self._is_behind:
            self._halt()

    def resume_reading(self) -> None:
        if not self._is_behind:
            self._read_on()

    def _halt(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
