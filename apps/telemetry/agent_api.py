"""The agent's routes for output lines and for what workloads use; see `apps.agent.wire`."""

from __future__ import annotations

import json
from functools import partial
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from pydantic import TypeAdapter, ValidationError

from apps.agent import wire
from apps.core.errors import Invalid
from apps.core.http import bodies
from apps.core.http.internal_routes import internal_route
from apps.core.threads import in_thread
from apps.instances.agents.access import instance_of
from apps.telemetry.logs import services
from apps.telemetry.metrics import usage as samples

# Some workloads' lines at 256 KB each, every character escaped, and room.
LIMIT_BYTES = 32 * 2**20

# Built from the wire's own dataclasses, and thirty times faster than `wire.from_json`.
BATCH = TypeAdapter(wire.LogBatch)
USAGE = TypeAdapter(wire.UsageBatch)
USAGE_LIMIT_BYTES = 2 * 2**20


@internal_route("POST")
async def logs(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    body = bodies.read(request, most_bytes=LIMIT_BYTES, what="A batch of lines")
    receipt = await in_thread(_take, instance.pk, body)
    return JsonResponse(wire.to_json(receipt))


def _take(instance_id: UUID, body: bytes) -> wire.LogReceipt:
    return services.ingest(instance_id=instance_id, batch=parse(body))


@internal_route("POST")
async def usage(request: HttpRequest) -> HttpResponseBase:
    instance = await in_thread(instance_of, request)
    body = bodies.read(request, most_bytes=USAGE_LIMIT_BYTES, what="A batch of samples")
    batch = bodies.validated(body, USAGE.validate_json)
    await in_thread(partial(samples.take, batch=batch, at=timezone.now()), instance_id=instance.pk)
    return JsonResponse({})


def parse(body: bytes) -> wire.LogBatch:
    """Read a batch. Raise Invalid."""
    try:
        return BATCH.validate_json(body)
    except ValidationError as error:
        return _parse_leniently(body, error)


def _parse_leniently(body: bytes, cause: ValidationError) -> wire.LogBatch:
    """Half a surrogate pair is no reason to refuse a batch: it would be sent again for ever."""
    if cause.errors()[0]["type"] != "json_invalid":
        raise Invalid(bodies.words(cause)) from cause
    text = json.dumps(bodies.parsed(body), ensure_ascii=False)
    return bodies.validated(text.encode("utf-8", "replace"), BATCH.validate_json)
