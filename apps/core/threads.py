"""Database calls from asynchronous views: who waits holds neither a thread nor a connection.

A live stream lives for hours. Django's own way (one thread per request, whose connection goes back
at the request's end) would keep a thread and a connection for each; here both go back at once. The
thread in which middlewares ran before the stream goes back in dstack_web/web/streams.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

P = ParamSpec("P")
R = TypeVar("R")


async def in_thread(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Make a blocking call in a thread of the loop's pool and await its result.

    The thread gives its database connection back before the result arrives.
    """

    def run() -> R:
        try:
            return call(*args, **kwargs)
        finally:
            close_old_connections()

    return await sync_to_async(run, thread_sensitive=False)()
