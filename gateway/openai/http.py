"""The sidecar's HTTP server: what it cannot read it says in the API's form, and logs no word of it.

Bodies are taken as they come: who compresses one is told not to, so none can grow here. A chunked
one is the last on its connection: the library's parser takes its trailers for headers of the next
request (aiohttp 3.14.5), which is another caller's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from gateway.openai.errors import error

# HAProxy bounds heads already; more than it lets through never comes here.
MOST_HEAD_BYTES, MOST_HEADERS = 73_728, 1000

log = logging.getLogger(__name__)


class Server(web.Server):
    """Makes a `Protocol` for each connection."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(
            handler,
            request_factory=request_of,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=MOST_HEAD_BYTES,
            max_field_size=MOST_HEAD_BYTES,
            max_headers=MOST_HEADERS,
        )

    def __call__(self) -> web.RequestHandler:
        """Serve a connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


def request_of(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Make a request of what was read; a chunked one ends its connection."""
    if message.chunked:
        message = message._replace(should_close=True)
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop)


class Protocol(web.RequestHandler):
    """Reads requests of one connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read, or what went wrong here.

        Raise ConnectionError where an answer has begun.
        """
        if status < 500:
            # The library's own text repeats the request's.
            log.warning("a request could not be read: %s", type(exc).__name__)
        else:
            log.error("a request was not answered", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        if status < 500:
            answer = error(400, "This is no valid HTTP request.", "invalid_request")
        else:
            answer = error(500, "The gateway could not answer. See its log.", "internal_error")
        answer.force_close()
        return answer
