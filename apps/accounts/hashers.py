"""Hashing passwords, a few at a time.

Argon2 takes 100 MB and a third of a second on purpose, and anybody may ask for it by trying to sign
in. So one process hashes two at once, lets a few more wait their turn, and refuses the others at
once. Nobody who waits or hashes keeps a connection to the database from others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.db import connection

from apps.core.errors import TooManyRequests

AT_ONCE, WAITING = 2, 6
# Longer than the turns of all who may wait before one.
PATIENCE_SECONDS = 5.0


class Turns:
    """Lets `at_once` threads in; `waiting` more may wait, the others are refused."""

    def __init__(self, *, at_once: int, waiting: int, patience_seconds: float) -> None:
        self._turn = threading.Semaphore(at_once)
        self._room = threading.Semaphore(at_once + waiting)
        self._patience_seconds = patience_seconds

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn. Raise TooManyRequests where too many wait already, or for too long."""
        if not self._room.acquire(blocking=False):
            raise _too_many()
        try:
            if not self._turn.acquire(timeout=self._patience_seconds):
                raise _too_many()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._room.release()


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many people sign in at this moment. Try again in a few seconds.")


turns = Turns(at_once=AT_ONCE, waiting=WAITING, patience_seconds=PATIENCE_SECONDS)


class Argon2InTurn(Argon2PasswordHasher):
    """Argon2, but never more than a few at once; its hashes are those of Django's own hasher."""

    def encode(self, password: str, salt: str) -> str:
        with _without_database(), turns.take():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _without_database(), turns.take():
            return super().verify(password, encoded)


@contextmanager
def _without_database() -> Iterator[None]:
    """Give this thread's connection back meanwhile, unless a transaction needs it."""
    if not connection.in_atomic_block:
        connection.close()
    yield
