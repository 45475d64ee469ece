"""The two loops towards the control plane: the table in, the status out.

Neither ever ends by itself: while the control plane is away, the last table stays in force.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.backoff import Backoff
from gateway.control.client import ControlPlane
from gateway.errors import BadConfig, BadTable, ControlPlaneError
from gateway.haproxy.reconciler import Reconciler
from gateway.schema import Status, Table
from gateway.state import route_table

log = logging.getLogger(__name__)

POLL_SECONDS = 25
STATUS_SECONDS = 5.0
# The first change is reported at once, those that follow so soon together.
GATHER_SECONDS = 0.02
EMPTY_PAUSE_SECONDS = 0.2


async def poll_table(*, control: ControlPlane, reconciler: Reconciler) -> None:
    """Bring each new table to the reconciler until it is cancelled."""
    retry = Retry()
    while True:
        since, asked_at = reconciler.known.version, time.monotonic()
        try:
            text = await control.table(since=since, wait_seconds=POLL_SECONDS)
            update = route_table.parse(text)
        except (ControlPlaneError, BadConfig) as error:
            retry.note(str(error))
        except BadTable as error:
            retry.note(str(error))
            reconciler.refused = str(error)
            reconciler.notify()
        else:
            retry.reset()
            if update.whole or update.version > since:
                accept(reconciler, update)
            # A table that is still empty, or a server that does not wait, must not be asked
            # without pause.
            if update.version <= since and time.monotonic() - asked_at < EMPTY_PAUSE_SECONDS:
                await asyncio.sleep(EMPTY_PAUSE_SECONDS)
            continue
        await retry.sleep()


def accept(reconciler: Reconciler, update: Table) -> None:
    try:
        reconciler.accept(update)
    except OSError as error:
        log.error("the table is in force but could not be stored: %s", error)


class Retry:
    """Pauses while the control plane does not answer as agreed, each new reason logged once."""

    def __init__(self) -> None:
        self._backoff = Backoff(first_seconds=0.1, longest_seconds=5.0, jitter=0.2)
        self._reason = ""

    def note(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("%s; trying again", reason)
        self._reason = reason

    def reset(self) -> None:
        if self._reason:
            log.info("the control plane answers again")
        self._reason = ""
        self._backoff.reset()

    async def sleep(self) -> None:
        await asyncio.sleep(self._backoff.next())


async def report(
    *, control: ControlPlane, status: Callable[[], Status], changed: asyncio.Event
) -> None:
    """Send the status at each change and every 5 s until it is cancelled."""
    sent: Status | None = None
    retry = Retry()
    while True:
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                sent = await send_changed(control, status, changed, sent)
        except TimeoutError:
            sent = None
        except (ControlPlaneError, BadConfig) as error:
            retry.note(str(error))
            await retry.sleep()
        else:
            retry.reset()


async def send_changed(
    control: ControlPlane,
    status: Callable[[], Status],
    changed: asyncio.Event,
    sent: Status | None,
) -> Status:
    clock = asyncio.get_running_loop().time
    looked_at = clock()
    while (now := status()) == sent:
        await changed.wait()
        await asyncio.sleep(looked_at + GATHER_SECONDS - clock())
        changed.clear()
        looked_at = clock()
    await control.report(now)
    return now
