"""Blocking work beside the loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.errors import GatewayError, OrderFailed

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread that does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(call: Callable[[Any], None], value: Any) -> None:
        # The one who asked may be gone, and the loop with it.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else call(value))

    def run() -> None:
        try:
            result = work()
        except (GatewayError, OSError) as error:
            tell(done.set_exception, error)
        except BaseException as error:
            tell(done.set_exception, OrderFailed(f"the order broke: {error!r}"[:300]))
            raise
        else:
            tell(done.set_result, result)

    threading.Thread(target=run, name="acme", daemon=True).start()
    return await done
