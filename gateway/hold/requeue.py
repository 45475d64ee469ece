"""Requeues at the hold what waits in HAProxy for its turn at replicas that are all gone.

HAProxy sends what comes anew to the hold, and forgets those that were queued before: they would
wait until `timeout queue`. Giving the hold's server the limit that it has makes HAProxy work
through its queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy.runtime import Runtime

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


async def run(*, runtime: Runtime, slots: Callable[[], Iterable[int]]) -> None:
    """Requeue such requests at the hold until it is cancelled.

    `slots` names those whose replicas take only so many requests at once.
    """
    while True:
        await asyncio.sleep(POLL_SECONDS)
        try:
            for slot in await runtime.slots_to_requeue(slots()):
                await runtime.requeue(slot)
        except (HaproxyFailed, RuntimeRefused) as error:
            log.debug("cannot read the queues: %s", error)
