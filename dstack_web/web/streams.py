"""Django's ASGI handler, without a thread for each stream.

Django gives a request a thread of its own as soon as a middleware calls anything synchronous, and
keeps it until the answer is over: for a live page or a followed log that may be hours. At the end
it would get one again, so thousands at once where a network breaks off.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import SyncToAsync
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections
from django.http.response import HttpResponseBase, StreamingHttpResponse

from dstack_web.web.body_limit import Send

P = ParamSpec("P")
R = TypeVar("R")


class SharedThread(Executor):
    """One thread of all streams, for what little is left to do synchronously: closing an answer.

    Each request shuts down what it takes for its own; this one stays.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streams")

    def submit(self, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._thread.submit(call, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: other streams need it."""


SHARED = SharedThread()


class StreamHandler(ASGIHandler):
    """Gives the request's thread back before an asynchronous stream begins."""

    async def send_response(self, response: HttpResponseBase, send: Send) -> None:
        if isinstance(response, StreamingHttpResponse) and response.is_async:
            give_back_thread()
        await super().send_response(response, send)


def give_back_thread() -> None:
    """End the thread of the request that is served, and give its database connection back.

    From now on the request shares one with other streams.
    """
    request = SyncToAsync.thread_sensitive_context.get(None)
    if request is None:
        return
    threads = SyncToAsync.context_to_thread_executor.get(request)
    SyncToAsync.context_to_thread_executor[request] = SHARED
    if threads is not None and threads is not SHARED:
        threads.submit(close_old_connections)
        threads.shutdown(wait=False)
