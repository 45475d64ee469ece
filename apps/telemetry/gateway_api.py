"""The gateway's route for what was asked and answered; see `gateway.schema.Stats`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone

from apps.core.errors import Invalid
from apps.core.http import bodies
from apps.core.http.internal_routes import internal_route
from apps.core.threads import in_thread
from apps.gateways.access import gateway_of
from apps.gateways.models import Gateway
from apps.telemetry.requests import keep
from apps.telemetry.traffic import ingest
from gateway import schema

# 5,000 services with 20 keys each, every counter named.
LIMIT_BYTES = 32 * 2**20
LONGEST_BOOT_ID = 64


@internal_route("POST")
async def stats(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    body = bodies.read(request, most_bytes=LIMIT_BYTES, what="A look at the counters")
    said = parse(body)
    await in_thread(_take, gateway, said)
    return JsonResponse({})


def _take(gateway: Gateway, said: schema.Stats) -> None:
    at = timezone.now()
    if ingest.take(gateway=gateway, stats=said, at=at):
        keep.take(gateway=gateway, requests=said.requests, at=at)


def parse(body: bytes) -> schema.Stats:
    """Read a look. Raise Invalid."""
    said = bodies.validated(body, schema.Stats.model_validate_json)
    if len(said.boot_id) > LONGEST_BOOT_ID or not 0 <= said.sequence < 2**63:
        raise Invalid("boot_id has 64 characters at most, and sequence counts from 0.")
    return said
