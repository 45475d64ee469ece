"""The two loops towards the control plane: the table in, the status out.

Neither ever ends by itself: while the control plane is away, the last table stays in force.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable

from gateway import table
from gateway.control import ControlPlane
from gateway.errors import BadConfig, BadTable, ControlPlaneError
from gateway.plane import Plane
from gateway.schema import Status, Table

log = logging.getLogger(__name__)

POLL_SECONDS = 25
STATUS_SECONDS = 5.0
# Changes so near to each other make one report.
GATHER_SECONDS = 0.02
EMPTY_PAUSE_SECONDS = 0.2
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


async def follow(*, control: ControlPlane, plane: Plane) -> None:
    """This function will bring each new table to the plane until it is cancelled."""
    pauses = Pauses()
    while True:
        since, asked_at = plane.known.version, time.monotonic()
        try:
            text = await control.table(since=since, wait_seconds=POLL_SECONDS)
            update = table.parse(text)
        except (ControlPlaneError, BadConfig) as error:
            pauses.note(str(error))
        except BadTable as error:
            pauses.note(str(error))
            plane.refused = str(error)
            plane.poke()
        else:
            pauses.reset()
            if update.whole or update.version > since:
                keep(plane, update)
            # A table that is still empty, or a server that does not wait, must not be asked
            # without pause.
            if update.version <= since and time.monotonic() - asked_at < EMPTY_PAUSE_SECONDS:
                await asyncio.sleep(EMPTY_PAUSE_SECONDS)
            continue
        await pauses.sleep()


def keep(plane: Plane, update: Table) -> None:
    try:
        plane.take(update)
    except OSError as error:
        log.error("the table is in force but could not be stored: %s", error)


class Pauses:
    """Growing pauses after failures, each new reason logged once."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS
        self._reason = ""

    def note(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("%s; trying again", reason)
        self._reason = reason

    def reset(self) -> None:
        if self._reason:
            log.info("the control plane answers again")
        self._seconds, self._reason = FIRST_PAUSE_SECONDS, ""

    async def sleep(self) -> None:
        await asyncio.sleep(self._seconds * random.uniform(0.8, 1.2))
        self._seconds = min(self._seconds * 2, LONGEST_PAUSE_SECONDS)


async def report(
    *, control: ControlPlane, status: Callable[[], Status], changed: asyncio.Event
) -> None:
    """This function will send the status at each change and every 5 s until it is cancelled."""
    sent: Status | None = None
    pauses = Pauses()
    while True:
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                sent = await send_changed(control, status, changed, sent)
        except TimeoutError:
            sent = None
        except (ControlPlaneError, BadConfig) as error:
            pauses.note(str(error))
            await pauses.sleep()
        else:
            pauses.reset()


async def send_changed(
    control: ControlPlane,
    status: Callable[[], Status],
    changed: asyncio.Event,
    sent: Status | None,
) -> Status:
    while (now := status()) == sent:
        await changed.wait()
        await asyncio.sleep(GATHER_SECONDS)
        changed.clear()
    await control.report(now)
    return now
