"""Bounds on request bodies, before Django: its ASGI handler spools a whole body to disk before any
view, and so any sign-in, has run. So a body may be neither too long nor too slow.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from apps.core.stores import disk

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Room for what a form puts around an upload.
SPARE_BYTES = 2**20
# Slower than any line that people upload by, with stalls; time in which we do not read is ours.
STEP_BYTES, STEP_SECONDS = 2**16, 60.0


class Refused(Exception):
    """The body is not read on."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class BodyLimit:
    """An ASGI application that answers 413 for longer bodies and 408 for slow ones.

    `most_bytes` is of the upload itself. Each 64 kB must come in `step_seconds`.
    """

    def __init__(
        self, application: Application, *, most_bytes: int, step_seconds: float = STEP_SECONDS
    ) -> None:
        self.application = application
        self.most_bytes = most_bytes + SPARE_BYTES
        self.step_seconds = step_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        if declared(scope) > self.most_bytes:
            await refuse(send, too_long(self.most_bytes))
            return
        body = Body(receive, most_bytes=self.most_bytes, step_seconds=self.step_seconds)
        try:
            await self.application(scope, body.receive, send)
        except Refused as refused:
            # Django reads the whole body before it begins to answer, so nothing was sent yet.
            await refuse(send, refused)
        except OSError as error:
            # It keeps the body on the disk of temporary files.
            full = disk.refusal(error)
            if full is None:
                raise
            await refuse(send, Refused(full.status, full.code, full.message))


class Body:
    """One request's body, counted and timed while it comes."""

    def __init__(self, receive: Receive, *, most_bytes: int, step_seconds: float) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._step_seconds = self._left_seconds = step_seconds
        self._seen = self._step = 0
        self._ended = False

    async def receive(self) -> Message:
        """Return the next message. Raise Refused."""
        if self._ended:  # what may still come is that the caller has gone
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._left_seconds):
                message = await self._receive()
        except TimeoutError:
            raise Refused(408, "too_slow", "The request came too slowly. Send it again.") from None
        self._left_seconds -= time.monotonic() - began
        self._count(len(message.get("body", b"")))
        self._ended = not message.get("more_body", False)
        return message

    def _count(self, size: int) -> None:
        self._seen += size
        self._step += size
        if self._seen > self._most_bytes:
            raise too_long(self._most_bytes)
        if self._step >= STEP_BYTES:
            self._step, self._left_seconds = 0, self._step_seconds


def too_long(most_bytes: int) -> Refused:
    return Refused(413, "too_large", f"A request has at most {most_bytes // 2**20} MB.")


async def refuse(send: Send, refused: Refused) -> None:
    error = {"code": refused.code, "message": str(refused), "details": []}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
