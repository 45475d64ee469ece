"""Calls of providers: each with a time-out, and no backend in the way of another.

A provider that hangs holds one thread of its own, which ends with the process at the latest, and
at most `AT_ONCE` workers; what waits for its backend stays due, and the sweep comes back to it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from apps.backends import identity
from apps.backends import services as backends
from apps.backends.base import Provider, ProviderError
from apps.backends.connecting import asking
from apps.backends.faults import said
from apps.backends.models import Backend

CALL_SECONDS = 60.0
AT_ONCE = 2

Answer = TypeVar("Answer")
_lock = threading.Lock()
_calling: Counter[int] = Counter()
_under_way: set[UUID] = set()


class Busy(Exception):
    """Its backend has as many calls as it may, or one about this machine is under way."""


def ask(
    backend: Backend, question: Callable[[Provider], Answer], *, about: UUID | None = None
) -> Answer:
    """Return what the backend's provider answers; `about` is the instance that it is asked of.

    Raise Busy where it is not asked now, as no cloud is by a copy of another server's database,
    ProviderError where that failed, as projects may read it, and nothing else.
    """
    if is_held(backend.kind):
        raise Busy
    provider = backends.provider_of(backend)
    with _turn(backend.pk, about):
        try:
            return asking.ask(provider, question, seconds=CALL_SECONDS)
        except ProviderError as error:
            raise said.in_public(backend, error, about=about) from None


def is_held(kind: str) -> bool:
    """Tell whether nothing is asked of backends of a kind: see `identity`."""
    return not backends.is_standing(kind) and bool(identity.why_held())


@contextmanager
def _turn(backend_id: int, about: UUID | None) -> Iterator[None]:
    with _lock:
        if about in _under_way or _calling[backend_id] >= AT_ONCE:
            raise Busy
        if about is not None:
            _under_way.add(about)
        _calling[backend_id] += 1
    try:
        yield
    finally:
        with _lock:
            _calling[backend_id] -= 1
            if about is not None:
                _under_way.discard(about)
