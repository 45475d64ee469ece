"""Slowing down those who guess enrolments: so many refusals of an address a minute, then a pause.

Counts live in the broker; where it is away all may try, and 192 random bits still stand in the way.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from apps.core.errors import NotSignedIn, TooManyRequests
from apps.core.stores import valkey

logger = logging.getLogger(__name__)

# Agents behind one address, that of a network without addresses of its own, try again and again.
FREE, WITHIN_SECONDS = 60, 60


@contextmanager
def counted(address: str) -> Iterator[None]:
    """Count a refusal inside. Raise TooManyRequests where this address had too many."""
    key = f"enrol:{hashlib.sha256(address.encode('utf-8', 'replace')).hexdigest()}"
    if _refusals(key) >= FREE:
        raise TooManyRequests(f"Too many enrolments were refused. Try again in {WITHIN_SECONDS} s.")
    try:
        yield
    except NotSignedIn:
        _count(key)
        raise


def _refusals(key: str) -> int:
    if valkey.pause.is_on:
        return 0
    try:
        return int(str(valkey.client().get(key) or 0))
    except (redis.RedisError, OSError, ValueError) as error:
        valkey.pause.begin()
        logger.warning("refused enrolments are not counted: %s", error)
        return 0


def _count(key: str) -> None:
    try:
        with valkey.client().pipeline() as both:
            both.incr(key)
            both.expire(key, WITHIN_SECONDS, nx=True)
            both.execute()
    except (redis.RedisError, OSError) as error:
        logger.warning("a refused enrolment is not counted: %s", error)
