"""The connection on which a released request goes back to HAProxy."""

from __future__ import annotations

import asyncio
from typing import Protocol, cast


class Downstream(Protocol):
    """Whose request it is."""

    def answer(self, data: bytes, *, is_first: bool) -> None: ...

    def drop(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """Takes the request's bytes on, and brings the answer's."""

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._transport: asyncio.Transport | None = None
        self._takes_more = asyncio.Event()
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._takes_more.set()

    def data_received(self, data: bytes) -> None:
        self._downstream.answer(data, is_first=not self._is_answered)
        self._is_answered = True

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._takes_more.set()
        self._downstream.drop()

    def pause_writing(self) -> None:
        self._takes_more.clear()
        self._downstream.pause_reading()

    def resume_writing(self) -> None:
        self._takes_more.set()
        self._downstream.resume_reading()

    @property
    def is_closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def drain(self) -> None:
        """Return when more can be written, or the connection is lost."""
        await self._takes_more.wait()

    def write(self, data: bytes | bytearray) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """End the connection; nobody waits for what was not sent yet."""
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closed and self._transport is not None:
            self._transport.resume_reading()
