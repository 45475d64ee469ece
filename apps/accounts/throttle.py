"""Slowing down those who guess passwords.

Every try counts before the password is looked at, so that many at once gain nothing. The first few
of a name from one address are free, then each doubles the pause; a name that is tried from many
addresses gets short pauses too, but not at an address from which it signed in before: strangers
lock nobody out of where they work. Counts live in the broker: where it is away, sign-in works on
without them (Argon2 alone still makes a guess cost 50 ms).
"""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from functools import cache

import redis
from django.conf import settings

from apps.core.backoff import Backoff

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.5
# (free tries, longest pause in seconds): per name and address, and per name from anywhere.
HERE = (4, 900)
ANYWHERE = (30, 60)
# At an address from which the name signed in before: others behind the same proxy try there, too.
KNOWN = (8, 5)
FORGET_SECONDS = 3600
FIRST_PAUSE = timedelta(seconds=1)
KNOWN_SECONDS = 90 * 24 * 3600


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL.replace("redis+socket://", "unix://"),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    )


def seconds_to_wait(*, username: str, address: str) -> int:
    """Count a try and return how long to wait before it may be made, 0: now."""
    try:
        here, anywhere = _keys(username, address)
        if _redis().exists(f"{here}:known"):
            return _count(here, *KNOWN)
        pauses = [_count(here, *HERE), _count(anywhere, *ANYWHERE)]
    except (redis.RedisError, OSError) as error:
        logger.warning("sign-in is not slowed down: %s", error)
        return 0
    return max(pauses)


def signed_in(*, username: str, address: str) -> None:
    """Forget the tries of somebody who signed in, and remember the address."""
    try:
        here, anywhere = _keys(username, address)
        counts = [f"{key}:{part}" for key in (here, anywhere) for part in ("tries", "pause")]
        _redis().delete(*counts)
        _redis().set(f"{here}:known", 1, ex=KNOWN_SECONDS)
    except (redis.RedisError, OSError) as error:
        logger.warning("tries to sign in are not forgotten: %s", error)


def _keys(username: str, address: str) -> tuple[str, str]:
    """Return the key of a name at an address, and that of the name anywhere."""
    name = username.strip().lower()
    return _key(f"{name}\n{address}"), _key(name)


def _key(text: str) -> str:
    return f"signin:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"


def _count(key: str, free: int, longest: int) -> int:
    client = _redis()
    left = int(str(client.ttl(f"{key}:pause")))
    if left > 0:
        return left
    tries = int(str(client.incr(f"{key}:tries")))
    client.expire(f"{key}:tries", FORGET_SECONDS)
    if tries >= free:
        backoff = Backoff(FIRST_PAUSE, timedelta(seconds=longest))
        client.set(f"{key}:pause", 1, ex=backoff.after(tries - free + 1))
    return 0
