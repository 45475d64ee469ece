"""A run's log as a stream: everything there is, then what comes, until the run is over.

While it waits it holds neither a thread nor a database connection, only one seat at the process's
hub of hints. A hint may be lost, so it looks again after a while in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

from django.utils import timezone

from apps.core import live_hints
from apps.core.threads import in_thread
from apps.runs.models import Run
from apps.telemetry.logs import queries
from apps.telemetry.logs.queries import EVERYTHING, Filter, Line

LOOK_SECONDS = 2.0
# Last lines are often on their way when the run is already over.
AFTERMATH = timedelta(seconds=3)


async def pages(
    *, run: Run, cursor: str | None, wanted: Filter = EVERYTHING
) -> AsyncGenerator[list[Line]]:
    """Yield what is there, page by page."""
    complete = False
    while not complete:
        page = await in_thread(queries.scan, run=run, cursor=cursor, wanted=wanted)
        cursor, complete = page.cursor, page.complete
        if page.lines:
            yield page.lines


async def follow(
    *, run: Run, cursor: str | None, wanted: Filter = EVERYTHING
) -> AsyncGenerator[list[Line]]:
    """Yield pages until the run is over and all its lines are read.

    An empty page comes each LOOK_SECONDS in which nothing was printed.
    """
    async with live_hints.hub().listen([f"logs:{run.pk}", f"run:{run.pk}"]) as hints:
        while True:
            over = await in_thread(_is_over, run, at=timezone.now())
            page = await in_thread(queries.scan, run=run, cursor=cursor, wanted=wanted)
            cursor = page.cursor
            if page.lines or not page.complete:
                yield page.lines
            elif over:
                return
            else:
                yield await _quiet(hints)


async def _quiet(hints: live_hints.Hints) -> list[Line]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            await hints.get()
    return []


def _is_over(run: Run, *, at: datetime) -> bool:
    """Asked before the lines are read, so that none comes between the two."""
    found = Run.objects.filter(pk=run.pk).only("state", "state_at").first()
    return found is None or (found.is_final and found.state_at < at - AFTERMATH)
