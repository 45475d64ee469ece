"""One call of a provider within a time: what hangs holds a thread of its own, and no worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from apps.backends.base import ErrorKind, Provider, ProviderError, Scope

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


def ask(provider: Provider, question: Callable[[Provider], Answer], *, seconds: float) -> Answer:
    """Return what the provider answers. Raise ProviderError where that failed, and nothing else."""
    said: SimpleQueue[Answer | Exception] = SimpleQueue()

    def call() -> None:
        try:
            said.put(question(provider))
        except Exception as error:
            # The outermost frame of its thread: whatever it was, who asked hears it.
            said.put(error)

    threading.Thread(target=call, name=f"call-{provider.kind}", daemon=True).start()
    try:
        answer = said.get(timeout=seconds)
    except Empty:
        raise _unreachable(f"{provider.kind} did not answer within {seconds:g} s") from None
    if isinstance(answer, ProviderError):
        raise answer
    if isinstance(answer, Exception):
        logger.error("the provider of %s failed", provider.kind, exc_info=answer)
        raise _unreachable(f"{provider.kind} could not be asked ({type(answer).__name__})")
    return answer


def _unreachable(message: str) -> ProviderError:
    return ProviderError(message, kind=ErrorKind.UNREACHABLE, scope=Scope.BACKEND)
