"""A bound on request bodies, before Django: its ASGI handler spools a whole body to disk before any
view, and so any sign-in, has run.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Room for what a form puts around an upload.
SPARE_BYTES = 2**20


class TooLong(Exception):
    """The body went on beyond the bound."""


class BodyLimit:
    """An ASGI application that answers 413 for longer bodies; `most_bytes` of the upload itself."""

    def __init__(self, application: Application, *, most_bytes: int) -> None:
        self.application = application
        self.most_bytes = most_bytes + SPARE_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        if declared(scope) > self.most_bytes:
            await self.refuse(send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most_bytes:
                raise TooLong
            return message

        try:
            await self.application(scope, counted, send)
        except TooLong:
            # Django reads the whole body before it begins to answer, so nothing was sent yet.
            await self.refuse(send)

    async def refuse(self, send: Send) -> None:
        limit = f"{self.most_bytes // 2**20} MB"
        error = {"code": "too_large", "message": f"A request has at most {limit}.", "details": []}
        body = json.dumps({"error": error}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
