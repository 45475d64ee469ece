"""The liveness probe of HAProxy: its runtime socket is asked, and it hangs when it stays silent.

Silence counts only while the sidecar itself is on time: a machine that is overloaded, or was
asleep, is no fault of HAProxy's. A thread of it that only computes is ended by HAProxy itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

PROBE_SECONDS = 1.0
# In a row: silent for so long, or seen stopped so often.
MOST_MISSES = 3
LATE_SECONDS = 1.0


async def wait_until_unresponsive(
    *, is_ready: Callable[[], Awaitable[bool]], is_stopped: Callable[[], bool]
) -> None:
    """Return once HAProxy is taken to hang. `is_ready` has a time-out of its own."""
    missed = 0
    while missed < MOST_MISSES:
        slept_at = now()
        await asyncio.sleep(PROBE_SECONDS)
        if now() - slept_at - PROBE_SECONDS > LATE_SECONDS:
            missed = 0
        elif is_stopped() or not await is_ready():
            missed += 1
        else:
            missed = 0


def now() -> float:
    """Return a time that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
