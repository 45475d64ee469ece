"""Hints for those who wait inside the web process: live pages and long polls.

One connection to the broker per process listens to all channels and tells the waiters of a
message's channel, never what it says. A hint may be lost; whoever waits looks at the database after
each hint and after a while in any case. Nothing was heard before the connection stood, or stood
again: then all are told.
"""

from __future__ import annotations

import asyncio
import contextlib
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
RECONNECT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
# How often whoever waits looks for itself, should the broker be away.
LOOK_SECONDS = 2.0
# A broker that vanished with its address is noticed after 25 s.
KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


class Hints:
    """Names of channels that one waiter has not been told of yet, each once."""

    def __init__(self) -> None:
        self._channels: set[str] = set()
        self._some = asyncio.Event()

    def add(self, channel: str) -> None:
        self._channels.add(channel)
        self._some.set()

    async def get(self) -> set[str]:
        """Wait until there is one and return all."""
        await self._some.wait()
        return self.taken()

    def taken(self) -> set[str]:
        """Return those there are by now."""
        taken, self._channels = self._channels, set()
        self._some.clear()
        return taken


class Hub:
    """The process's one subscription. Use `hub()`; it belongs to the running event loop."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Hints]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listen(self, channels: Sequence[str]) -> AsyncIterator[Hints]:
        """Yield the hints of these channels."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        hints = Hints()
        for channel in channels:
            self._waiters[channel].add(hints)
        try:
            yield hints
        finally:
            for channel in channels:
                self._waiters[channel].discard(hints)
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
                if message is None:
                    continue
                if message["type"] == "pmessage":
                    self._tell(message["channel"].decode().removeprefix(PREFIX))
                else:
                    # The broker has confirmed: what was said before it did, nobody here heard.
                    for channel in list(self._waiters):
                        self._tell(channel)

    def _tell(self, channel: str) -> None:
        for hints in self._waiters.get(channel, ()):
            hints.add(channel)


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
    return answer
