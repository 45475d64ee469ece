"""The agent's routes: what should be, what is. See `apps.agent.wire` for the messages.

Plain async views: a long poll must hold neither a thread nor a database connection.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import wraps
from typing import Any

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.agent import wire
from apps.core import database, live
from apps.core.errors import AppError, Invalid, NotFound, Unavailable
from apps.core.threads import in_thread
from apps.instances import reports, services, states
from apps.instances.access import instance_of
from apps.instances.models import Instance

logger = logging.getLogger(__name__)

CHUNK_BYTES = 256 * 1024
View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def answers_errors(view: View) -> View:
    """This decorator will turn an AppError into the API's error body."""

    @wraps(view)
    async def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            return await view(request, **kwargs)
        except AppError as error:
            return _answer(error)
        except database.AWAY as error:
            logger.warning("%s: %s", request.path, error)
            await in_thread(database.drop_dead_connections)
            return _answer(Unavailable("The database is away; try again in a moment."))

    return wrapped


def _answer(error: AppError) -> JsonResponse:
    body = {"error": {"code": error.code, "message": error.message, "details": []}}
    return JsonResponse(body, status=error.status)


def number(request: HttpRequest, name: str) -> float:
    """This function will read a number of the query; -1 is none yet. Raises Invalid."""
    try:
        value = float(request.GET.get(name, "0"))
    except ValueError:
        value = float("nan")
    if not -1 <= value < 2**63:
        raise Invalid(f"{name}: expected a number from -1")
    return value


def body_of(request: HttpRequest) -> Any:
    """This function will parse the JSON body. Raises Invalid."""
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not JSON.") from error


@csrf_exempt
@require_GET
@answers_errors
async def assignment(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    since = int(number(request, "since"))

    async def news() -> wire.Assignment | None:
        found = await in_thread(_revision, instance)
        if found == since:
            return None
        return await in_thread(services.assignment, instance=instance)

    wait = number(request, "wait")
    answer = await live.wait_until(f"instance:{instance.pk}", news, seconds=wait)
    if answer is None:
        answer = await in_thread(services.assignment, instance=instance)
    return JsonResponse(wire.to_json(answer))


def _revision(instance: Instance) -> int:
    return Instance.objects.values_list("revision", flat=True).get(pk=instance.pk)


@csrf_exempt
@require_POST
@answers_errors
async def report(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    try:
        said = wire.from_json(wire.Report, body_of(request))
    except ValueError as error:
        raise Invalid(str(error)) from error
    receipt = await in_thread(reports.take, instance=instance, report=said, at=timezone.now())
    return JsonResponse(wire.to_json(receipt))


@csrf_exempt
@require_GET
@answers_errors
async def blob(request: HttpRequest, *, digest: str) -> HttpResponseBase:
    """An agent fetches only the uploads of its own workloads."""
    instance = await in_thread(instance_of, request)
    found = await in_thread(_blob, instance, digest)
    if found is None:
        raise NotFound("No workload of this instance has that upload.")
    return StreamingHttpResponse(_chunks(found), content_type="application/gzip")


def _blob(instance: Instance, digest: str) -> str | None:
    unfinished = instance.workloads.exclude(state=states.EXITED)
    return unfinished.filter(upload_hash=digest).values_list("upload_blob", flat=True).first()


async def _chunks(blob: str) -> AsyncIterator[bytes]:
    """An archive may be larger than our memory; a synchronous iterator would be read whole."""
    file = await in_thread(default_storage.open, blob, "rb")
    try:
        while chunk := await in_thread(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        await in_thread(file.close)
