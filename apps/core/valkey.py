"""The connection to Valkey for what may be lost at any time: nobody waits for it long."""

from __future__ import annotations

from functools import cache

import redis
from django.conf import settings

TIMEOUT_SECONDS = 0.5


@cache
def client() -> redis.Redis:
    """This function will return the process's own client; answers are text."""
    return redis.Redis.from_url(
        settings.REDIS_URL.replace("redis+socket://", "unix://"),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        decode_responses=True,
    )
