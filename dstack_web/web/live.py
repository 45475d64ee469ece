"""The one stream of a page: hints that something changed, and the page fetches what it shows.

A hint carries nothing of what changed, so a lost or doubled one does no harm. Its id is the time it
was sent; a page that comes back with the id of its last one hears at once whether it missed any.
While it waits, a stream holds no database connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse

from apps.accounts import access as who
from apps.core import live_hints
from apps.core.errors import AppError, NotFound
from apps.core.http.closed_stream import ClosedStream
from apps.core.models import Event
from apps.core.threads import in_thread
from apps.runs.models import Run

# Shorter than what proxies take for a dead connection.
HEARTBEAT_SECONDS = 15.0
RECHECK_SECONDS = 60.0
# Events are dated by whoever wrote them; clocks differ.
CLOCK_SLACK = timedelta(seconds=5)
# Several hints at once (all replicas of a run) become one.
GATHER_SECONDS = 0.1


@dataclass(frozen=True)
class Scope:
    """Whose hints: a project's, or those of one of its runs, with or without its log."""

    access: who.Access
    project: str
    run: str
    channels: tuple[str, ...]

    def check(self) -> None:
        """Raise an AppError when one may not see this any more."""
        self.access.refreshed().project(self.project)


async def stream(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    try:
        scope = await in_thread(_scope, request)
    except AppError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    last = request.headers.get("Last-Event-ID") or request.GET.get("last", "")
    body = _hints(scope, _moment(last))
    response = ClosedStream(body, content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _scope(request: HttpRequest) -> Scope:
    access, asked = who.of(request), request.GET
    project = access.project(asked.get("project", ""))
    run = asked.get("run", "")
    if not run:
        return Scope(access, project.name, "", (f"project:{project.pk}",))
    pk = _uuid(run)
    found = Run.objects.filter(project=project, pk=pk).only("pk").first() if pk else None
    if found is None:
        raise NotFound("There is no such run in this project.")
    channels = [f"run:{found.pk}", f"metrics:{found.pk}"]
    channels += [f"logs:{found.pk}"] if asked.get("logs") else []
    return Scope(access, project.name, str(found.pk), tuple(channels))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime | None:
    """The time that an event id names (milliseconds since 1970); None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= 14):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _missed(since: datetime) -> bool:
    return Event.objects.filter(at__gte=since - CLOCK_SLACK).exists()


async def _hints(scope: Scope, since: datetime | None) -> AsyncGenerator[bytes]:
    async with live_hints.hub().listen(scope.channels) as hints:
        yield _event("ready")
        if since is not None and await in_thread(_missed, since):
            yield _event("changed")
        checked_at = time.monotonic()
        while True:
            names = await _next(hints)
            yield b"".join(_event(name) for name in names) or b": alive\n\n"
            if time.monotonic() - checked_at > RECHECK_SECONDS:
                checked_at = time.monotonic()
                if not await _may_stay(scope):
                    yield _event("gone")
                    return


async def _next(hints: live_hints.Hints) -> list[str]:
    """The names of the next events, or none when nothing came for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            channels = await hints.get()
    except TimeoutError:
        return []
    await asyncio.sleep(GATHER_SECONDS)
    channels |= hints.taken()
    kinds = {channel.partition(":")[0] for channel in channels}
    own: list[str] = [kind for kind in ("metrics", "logs") if kind in kinds]
    return ["changed", *own] if kinds - {"metrics", "logs"} else own


async def _may_stay(scope: Scope) -> bool:
    try:
        await in_thread(scope.check)
    except AppError:
        return False
    return True


def _event(name: str) -> bytes:
    return f"id: {time.time_ns() // 1_000_000}\nevent: {name}\ndata: {{}}\n\n".encode()
