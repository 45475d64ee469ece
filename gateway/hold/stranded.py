"""Requests that wait in HAProxy for their turn at replicas that are all gone.

HAProxy sends what comes anew to the hold, and forgets those that were queued before: they would
wait until `timeout queue`. Giving the hold's server the limit that it has makes HAProxy look at
its queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy.runtime import Runtime

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


async def move(*, runtime: Runtime, slots: Callable[[], Iterable[int]]) -> None:
    """This function will bring stranded requests to the hold until it is cancelled.

    `slots` names those whose replicas take only so many requests at once.
    """
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            for slot in await runtime.stranded(slots()):
                await runtime.open_hold(slot)
        except (HaproxyFailed, RuntimeRefused) as error:
            log.debug("cannot look at the queues: %s", error)
