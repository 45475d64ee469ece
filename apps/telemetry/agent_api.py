"""The agent's routes for output lines and for what workloads use; see `apps.agent.wire`."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import TypeAdapter, ValidationError

from apps.agent import wire
from apps.core.errors import Invalid, TooLarge
from apps.core.threads import in_thread
from apps.instances.access import instance_of
from apps.instances.agent_api import answers_errors
from apps.telemetry import services
from apps.telemetry import usage as samples

# Some workloads' lines at 256 KB each, every character escaped, and room.
LIMIT_BYTES = 32 * 2**20

# Built from the wire's own dataclasses, and thirty times faster than `wire.from_json`.
BATCH = TypeAdapter(wire.LogBatch)
USAGE = TypeAdapter(wire.UsageBatch)
USAGE_LIMIT_BYTES = 2 * 2**20


@csrf_exempt
@require_POST
@answers_errors
async def logs(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    body = request.read(LIMIT_BYTES + 1)
    receipt = await in_thread(_take, instance.pk, body)
    return JsonResponse(wire.to_json(receipt))


def _take(instance_id: UUID, body: bytes) -> wire.LogReceipt:
    return services.ingest(instance_id=instance_id, batch=parse(body))


@csrf_exempt
@require_POST
@answers_errors
async def usage(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    body = request.read(USAGE_LIMIT_BYTES + 1)
    if len(body) > USAGE_LIMIT_BYTES:
        raise TooLarge(f"A batch of samples has {USAGE_LIMIT_BYTES // 2**20} MB at most.")
    try:
        batch = USAGE.validate_json(body)
    except ValidationError as error:
        raise Invalid(_words(error)) from error
    await in_thread(partial(samples.take, batch=batch, at=timezone.now()), instance_id=instance.pk)
    return JsonResponse({})


def parse(body: bytes) -> wire.LogBatch:
    """This function will read a batch. Raises TooLarge and Invalid."""
    if len(body) > LIMIT_BYTES:
        raise TooLarge(f"A batch of lines has {LIMIT_BYTES // 2**20} MB at most.")
    try:
        return BATCH.validate_json(body)
    except ValidationError as error:
        return _parse_leniently(body, error)


def _parse_leniently(body: bytes, cause: ValidationError) -> wire.LogBatch:
    """Half a surrogate pair is no reason to refuse a batch: it would be sent again for ever."""
    if cause.errors()[0]["type"] != "json_invalid":
        raise Invalid(_words(cause)) from cause
    try:
        text: Any = json.loads(body)
        whole = json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")
        return BATCH.validate_json(whole)
    except ValidationError as error:
        raise Invalid(_words(error)) from error
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not JSON.") from error


def _words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}"
