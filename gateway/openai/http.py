"""The sidecar's HTTP server: what it cannot read it says in the API's form, and logs no word of it.

Bodies are taken as they come: who compresses one is told not to, so none can grow here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.openai.errors import error

log = logging.getLogger(__name__)


class Server(web.Server):
    """Makes a `Protocol` for each connection."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(handler, handler_cancellation=True, access_log=None, auto_decompress=False)

    def __call__(self) -> web.RequestHandler:
        """This function will serve a connection."""
        return Protocol(self, loop=self._loop, **self._kwargs)


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
        """This function will answer what could not be read, or what went wrong here.

        Raises ConnectionError where an answer has begun.
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
