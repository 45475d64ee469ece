"""One held connection: its bytes wait here, then pass through as they are.

Nothing of the request is parsed, so there are no second rules of framing that could differ from
HAProxy's. A body is taken in as far as the bounds of its service allow; the rest stays at the
caller. (HAProxy does not notice that a caller left while it cannot pass on what the caller sent, so
reading on is also how that is seen.)
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol, cast

from gateway.hold import ticket
from gateway.hold.ticket import BadTicket, Ticket

MOST_BUFFERED_BYTES = 8 * 1024 * 1024
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

    def has_room(self, held: Held) -> bool: ...

    def left(self, held: Held) -> None: ...

    def answered(self, held: Held) -> None: ...

    def releasing(self, held: Held) -> None: ...


class Held(asyncio.Protocol):
    """A request that waits; `ticket` says for what. It ends released, refused, or left."""

    ticket: Ticket

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._peer: Way | None = None
        self._buffer = bytearray()
        self._is_known = False
        self.since = time.monotonic()
        self.is_released = False
        self.is_over = False

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def fileno(self) -> int:
        """This function will return the socket's number, -1 when it is closed."""
        transport = self._transport
        return -1 if transport is None else transport.get_extra_info("socket").fileno()

    def refuse(self, error: bytes = REFUSAL) -> None:
        """This function will answer an error, 503 unless told, and end the connection."""
        if self._transport is not None and not self.is_released:
            self._transport.write(error)
            self._transport.close()

    async def release(self, path: str) -> None:
        """This function will hand the request back to HAProxy, at the socket `path`."""
        self.is_released = True
        seconds = time.monotonic() - self.since
        try:
            loop = asyncio.get_running_loop()
            _, way = await loop.create_unix_connection(lambda: Way(self), path)
        except OSError:
            self.is_released = False
            self.refuse()
            return
        if self._transport is None:
            way.close()
            return
        self._peer = way
        self._keeper.releasing(self)
        way.write(ticket.write(self.ticket, seconds=seconds) + self._buffer)
        self._buffer.clear()
        self.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.write(data)
            return
        self._buffer += data
        if not self._is_known:
            self._introduce()
        elif not self._keeper.has_room(self) or len(self._buffer) > MOST_BUFFERED_BYTES:
            self.pause_reading()

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
        self.is_over = True
        if self._peer is not None:
            self._peer.close()
        if self._is_known:
            self._keeper.left(self)

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.resume_reading()

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
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()


class Way(asyncio.Protocol):
    """The connection on which a released request goes back to HAProxy."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._transport: asyncio.Transport | None = None
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._held.answer(data, is_first=not self._is_answered)
        self._is_answered = True

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._held.drop()

    def pause_writing(self) -> None:
        self._held.pause_reading()

    def resume_writing(self) -> None:
        self._held.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
