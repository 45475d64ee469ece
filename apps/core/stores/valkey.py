"""The connection to Valkey for what may be lost at any time: nobody waits for it long."""

from __future__ import annotations

import time
from functools import cache

import redis
from django.conf import settings

TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 2.0


class Pause:
    """After a hint that failed none is tried for a while.

    So a broker that hangs costs a request one wait, not one for each hint. What is not sent
    meanwhile the sweep finds, as it does with every lost hint.
    """

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def begin(self) -> None:
        self._until = time.monotonic() + PAUSE_SECONDS

    def end(self) -> None:
        self._until = 0.0


# Of this process.
pause = Pause()


@cache
def client() -> redis.Redis:
    """Return the process's own client; answers are text."""
    return redis.Redis.from_url(
        settings.REDIS_URL.replace("redis+socket://", "unix://"),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        decode_responses=True,
    )
