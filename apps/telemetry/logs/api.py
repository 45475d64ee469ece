"""A run's log over HTTP, one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Literal

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.accounts.access import Access, LiveTokenAuth
from apps.core.errors import AppError
from apps.core.http.closed_stream import ClosedStream
from apps.core.threads import in_thread
from apps.runs import queries as runs
from apps.runs.models import Run
from apps.telemetry.logs import queries, stream
from apps.telemetry.logs.queries import Filter, Line

router = Router()

# The command line takes a minute of silence for a dead connection, proxies often less.
HEARTBEAT_SECONDS = 15.0
# Somebody who was removed stops seeing the log within a minute.
RECHECK_SECONDS = 60.0


class LogQuery(Schema):
    """Which lines. `cursor`: those after that line; `since`: like 10m, or a time; `tail`: so many
    of the newest, and with `follow` what comes then; `level`: warnings and errors, or errors."""

    cursor: str | None = Field(None, max_length=100)
    replica: int | None = Field(None, ge=0, lt=2**31)
    since: str | None = Field(None, max_length=100)
    grep: str = Field("", max_length=1000)
    level: Literal["", "warning", "error"] = ""
    follow: bool = False
    limit: int | None = Field(None, ge=1, le=1_000_000_000)
    tail: int | None = Field(None, ge=0, le=1_000_000_000)


@router.get(
    "/projects/{project}/runs/{name}/logs", auth=LiveTokenAuth(), summary="Read or follow a log"
)
async def logs(
    request: HttpRequest, project: str, name: str, asked: Annotated[LogQuery, Query()]
) -> HttpResponse | StreamingHttpResponse:
    """NDJSON: `{"time", "replica", "text", "cursor"}` a line, of the newest run of that name.

    With `follow` it goes on until the run is over; an empty line now and then says that the
    connection lives. Who may not see it any more gets a last line `{"error": {...}}`.
    """
    access = accounts.of(request)
    run = await in_thread(_run, access, project, name)
    wanted = Filter(asked.replica, queries.since(asked.since), asked.grep, asked.level)
    queries.check_cursor(asked.cursor)
    cursor, limit = await _begin(run, asked, wanted)
    source = stream.follow if asked.follow else stream.pages
    lines = source(run=run, cursor=cursor, wanted=wanted)
    body = _body(lines, limit, access, project)
    response = ClosedStream(body, content_type="application/x-ndjson")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _begin(run: Run, asked: LogQuery, wanted: Filter) -> tuple[str | None, int | None]:
    """Where reading begins, and after how many lines it ends."""
    if asked.tail is None or asked.cursor is not None:
        return asked.cursor, asked.limit
    cursor = await in_thread(queries.begin_of_tail, run=run, wanted=wanted, count=asked.tail)
    if asked.follow:
        return cursor, asked.limit
    # Lines that come meanwhile are not among the newest that there were.
    return cursor, min(asked.tail, asked.tail if asked.limit is None else asked.limit)


def _run(access: Access, project: str, name: str) -> Run:
    return runs.find_run(access.project(project), name)


async def _body(
    pages: AsyncGenerator[list[Line]], limit: int | None, access: Access, project: str
) -> AsyncGenerator[bytes]:
    left = limit
    if left == 0:
        return
    spoke_at = checked_at = time.monotonic()
    async with aclosing(pages):
        async for page in pages:
            lines, now = page[:left], time.monotonic()
            if lines or now - spoke_at > HEARTBEAT_SECONDS:
                spoke_at = now
                yield b"".join(_line_json(line) for line in lines) or b"\n"
            left = None if left is None else left - len(lines)
            if left == 0:
                return
            if now - checked_at > RECHECK_SECONDS:
                checked_at = now
                if refusal := await in_thread(_refusal, access, project):
                    yield refusal
                    return


def _refusal(access: Access, project: str) -> bytes:
    """The last line for somebody who may not see the project any more."""
    try:
        access.refreshed().project(project)
    except AppError as error:
        found = {"code": error.code, "message": error.message, "details": []}
        return json.dumps({"error": found}).encode() + b"\n"
    return b""


def _line_json(line: Line) -> bytes:
    found = {
        "time": line.time.isoformat(timespec="milliseconds"),
        "replica": line.replica,
        "text": line.text,
        "cursor": line.cursor,
    }
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
