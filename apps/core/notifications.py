"""Telling others that something changed: tasks (through the composition root) and live pages.

Both are hints. The sweep finds whatever a lost hint would have started, so a broker that is away
costs seconds, never a run: nothing here raises, waits or retries.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import redis
from django.conf import settings

from apps.core.stores.valkey import pause

logger = logging.getLogger(__name__)

# Half a second: a notification must never hold up the request or task that sends it.
TIMEOUT_SECONDS = 0.5

Subscriber = Callable[[str, str, Sequence[UUID]], None]
_subscribers: list[Subscriber] = []


def subscribe(subscriber: Subscriber) -> None:
    """Call `subscriber(state_machine, new_state, ids)` after each committed transition.

    The composition root subscribes its table of reactions once, at start.
    """
    if subscriber not in _subscribers:
        _subscribers.append(subscriber)


def transitioned(state_machine: str, state: str, ids: Sequence[UUID]) -> None:
    for subscriber in _subscribers:
        subscriber(state_machine, state, ids)


@cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL.replace("redis+socket://", "unix://"),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
    )


def publish(channel: str, message: dict[str, Any] | None = None) -> None:
    """Send a hint to whoever listens on `channel` (live pages, long polls)."""
    if pause.is_on:
        return
    try:
        _redis().publish(f"dstack:{channel}", json.dumps(message or {}))
    except (redis.RedisError, OSError) as error:
        pause.begin()
        logger.warning("no hint on %s: %s", channel, error)
