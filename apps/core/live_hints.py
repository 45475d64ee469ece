"""Hints for those who wait inside the web process: live pages and long polls.

One connection to the broker per process listens to all channels and hands each message to the
waiters of its channel. A hint may be lost; whoever waits looks at the database after each hint and
after a while in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

PREFIX = "dstack:"
# A page that does not read is cut loose from old hints: it will look at the database anyway.
QUEUE_SIZE = 100
RECONNECT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# How often whoever waits looks for itself, should the broker be away.
LOOK_SECONDS = 2.0
# A broker that vanished with its address is noticed after 25 s.
KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}

Hint = tuple[str, dict[str, Any]]


class Hub:
    """The process's one subscription. Use `hub()`; it belongs to the running event loop."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Queue[Hint]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listen(self, channels: Sequence[str]) -> AsyncIterator[asyncio.Queue[Hint]]:
        """Yield a queue of `(channel, message)` hints of these channels."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        queue: asyncio.Queue[Hint] = asyncio.Queue(QUEUE_SIZE)
        for channel in channels:
            self._waiters[channel].add(queue)
        try:
            yield queue
        finally:
            for channel in channels:
                self._waiters[channel].discard(queue)
                if not self._waiters[channel]:
                    del self._waiters[channel]

    async def _run(self) -> None:
        while not _cancelled():
            try:
                await self._read()
            except (RedisError, OSError) as error:
                logger.warning("no live hints: %s", error)
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _read(self) -> None:
        url = settings.REDIS_URL.replace("redis+socket://", "unix://")
        alive: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
        more = {} if url.startswith("unix:") else alive
        client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=5, **more)
        async with client, client.pubsub() as subscription:
            await subscription.psubscribe(f"{PREFIX}*")
            while not _cancelled():
                message = await subscription.get_message(timeout=LOOK_SECONDS)
                if message is not None and message["type"] == "pmessage":
                    self._hand_out(message["channel"].decode(), message["data"])

    def _hand_out(self, channel: str, data: bytes) -> None:
        name = channel.removeprefix(PREFIX)
        for queue in self._waiters.get(name, ()):
            if not queue.full():
                queue.put_nowait((name, json.loads(data)))


def _cancelled() -> bool:
    """Whether somebody has cancelled this task. Python 3.11's `wait_for`, which the client uses,
    forgets a cancellation that arrives as its answer does."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def hub() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    for old in [known for known in _hubs if known.is_closed()]:
        del _hubs[old]
    return _hubs.setdefault(loop, Hub())


R = TypeVar("R")


async def wait_until(
    channel: str, ready: Callable[[], Awaitable[R | None]], *, seconds: float
) -> R | None:
    """Ask `ready` now, after each hint on `channel`, and now and then, until it
    answers something or `seconds` are over."""
    end = asyncio.get_running_loop().time() + min(seconds, LONGEST_WAIT_SECONDS)
    async with hub().listen([channel]) as hints:
        while (answer := await ready()) is None:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                return None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, LOOK_SECONDS)):
                    await hints.get()
            while not hints.empty():
                hints.get_nowait()
    return answer
