"""A service's log as a file: the lines that the page's filter lets through, oldest first."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, StreamingHttpResponse
from django.utils import timezone

from apps.accounts import access as who
from apps.core.errors import AppError
from apps.core.threads import in_thread
from apps.runs import queries as runs
from apps.runs.models import Run
from apps.telemetry.logs import stream, terminal
from apps.telemetry.logs.queries import Filter, Line
from apps.telemetry.logs.views import wanted_by


async def download(
    request: HttpRequest, project: str, name: str
) -> HttpResponse | StreamingHttpResponse:
    """Send it page by page, so that a long log is never in memory whole."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    try:
        run = await in_thread(_run, request, project, name)
    except AppError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    response = StreamingHttpResponse(
        _body(run, wanted_by(request)), content_type="text/plain; charset=utf-8"
    )
    file = f"{run.name}-{timezone.now():%Y%m%dT%H%M%SZ}.log"
    response["Content-Disposition"] = f'attachment; filename="{file}"'
    response["Cache-Control"] = "private, no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _run(request: HttpRequest, project: str, name: str) -> Run:
    return runs.find_run(who.of(request).project(project), name)


async def _body(run: Run, wanted: Filter) -> AsyncGenerator[bytes]:
    async with aclosing(stream.pages(run=run, cursor=None, wanted=wanted)) as pages:
        async for page in pages:
            ordered = sorted(page, key=lambda line: line.time)
            yield "".join(map(_text, ordered)).encode("utf-8", "replace")


def _text(line: Line) -> str:
    at = line.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at} {line.replica} {terminal.plain(line.text)}\n"
