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

from gateway.hold import proxy_header
from gateway.hold.body import Body, NoCapacity
from gateway.hold.disk import Spool
from gateway.hold.proxy_header import BadProxyHeader, RequestIdentity
from gateway.hold.upstream import UpstreamConnection

log = logging.getLogger(__name__)

# The caller's form of this error is HAProxy's to choose: see `inner_error` in answer.cfg.
ERROR = (
    b"HTTP/1.1 %b\r\nContent-Type: application/x-gateway-error\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)
REFUSAL = ERROR % b"503 Service Unavailable"
# A replica may have had it: see `gateway.hold.replay_journal`.
LOST = ERROR % b"502 Bad Gateway"


class Owner(Protocol):
    """Who decides over held connections."""

    def arrived(self, request: HeldRequest) -> None: ...

    def has_memory(self, request: HeldRequest) -> bool: ...

    def has_disk(self, request: HeldRequest, more_bytes: int) -> bool: ...

    def begin_spool(self, request: HeldRequest) -> Spool: ...

    def left(self, request: HeldRequest) -> None: ...

    def answered(self, request: HeldRequest) -> None: ...

    def releasing(self, request: HeldRequest) -> None: ...


class HeldRequest(asyncio.Protocol):
    """A request that waits; `identity` says for what. It ends released, refused, or left."""

    identity: RequestIdentity

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._upstream: UpstreamConnection | None = None
        self._head = b""
        self._body = Body(self)
        self._spooling: asyncio.Task[None] | None = None
        self._is_identified = False
        self._is_replaying = False
        self.since = time.monotonic()

    @property
    def memory_bytes(self) -> int:
        return self._body.memory_bytes

    def has_memory(self) -> bool:
        return self._owner.has_memory(self)

    def has_disk(self, more_bytes: int) -> bool:
        return self._owner.has_disk(self, more_bytes)

    def begin_spool(self) -> Spool:
        return self._owner.begin_spool(self)

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def refuse(self, error: bytes = REFUSAL) -> None:
        """Answer an error, 503 unless told, and end the connection."""
        if self._transport is not None and self._upstream is None:
            self._transport.write(error)
            self._transport.close()

    async def release(self, path: str) -> None:
        """Hand the request back to HAProxy, at the socket `path`."""
        self._is_replaying = True
        seconds = time.monotonic() - self.since
        if self._spooling is not None:
            await self._spooling
        try:
            loop = asyncio.get_running_loop()
            _, upstream = await loop.create_unix_connection(lambda: UpstreamConnection(self), path)
        except OSError:
            self.refuse()
            return
        if self.is_closed:
            upstream.abort()
            return
        self._upstream = upstream
        self._owner.releasing(self)
        upstream.write(proxy_header.write(self.identity, seconds=seconds))
        await self._replay(upstream)
        self._is_replaying = False
        self._resume_caller()

    async def _replay(self, upstream: UpstreamConnection) -> None:
        """Send what waited, while the end is watched for, which tells that the caller left."""
        try:
            async for piece in self._body.pieces():
                upstream.write(piece)
                if self._body.memory_bytes == 0:
                    self._resume_caller()
                await upstream.drain()
                if upstream.is_closed:
                    break
        except OSError as error:
            log.warning("a body that waited on disk cannot be read: %s", error)
            upstream.abort()
        self._body.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._is_identified:
            self._identify(data)
        elif self._is_replaying:
            self._body.add(data)
            self._pause_caller()
        elif self._upstream is not None:
            self._upstream.write(data)
        else:
            self._body.add(data)
            self._spool_if_needed()

    def _identify(self, data: bytes) -> None:
        self._head += data
        try:
            known = proxy_header.parse(self._head)
        except BadProxyHeader:
            self.drop()
            return
        if known is not None:
            self.identity, self._head = known[0], b""
            self._body.add(known[1])
            self._is_identified = True
            self._owner.arrived(self)
            self._spool_if_needed()

    def _spool_if_needed(self) -> None:
        if self.is_closed:
            return
        try:
            if self._body.must_spool():
                self._pause_caller()
                self._spooling = asyncio.create_task(self._spool())
        except NoCapacity:
            self.refuse()

    async def _spool(self) -> None:
        try:
            await self._body.spool()
        except NoCapacity:
            self.refuse()
        self._spooling = None
        if not self._is_replaying:
            self._resume_caller()

    def eof_received(self) -> bool:
        # HAProxy ends a request that it no longer wants by closing, never by half.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._upstream is not None:
            self._upstream.abort()
        self._body.close()
        if self._is_identified:
            self._owner.left(self)

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.resume_reading()

    def answer(self, data: bytes, *, is_first: bool) -> None:
        """Pass a piece of the answer on."""
        if is_first:
            self._owner.answered(self)
        if self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        """End the connection once what was written has left."""
        if self._transport is not None:
            self._transport.close()

    def pause_reading(self) -> None:
        """Let the caller wait for the replica."""
        if not self._is_replaying:
            self._pause_caller()

    def resume_reading(self) -> None:
        if not self._is_replaying:
            self._resume_caller()

    def _pause_caller(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_caller(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
