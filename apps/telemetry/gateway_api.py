"""The gateway's route for what was asked and answered; see `gateway.schema.Stats`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from pydantic import ValidationError

from apps.core.errors import Invalid, TooLarge
from apps.core.threads import in_thread
from apps.gateways.access import gateway_of
from apps.instances.agent_api import answers_errors
from apps.telemetry import traffic
from gateway import schema

# 5,000 services with 20 keys each, every counter named.
LIMIT_BYTES = 32 * 2**20
LONGEST_BOOT_ID = 64


@csrf_exempt
@require_POST
@answers_errors
async def stats(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    body = request.read(LIMIT_BYTES + 1)
    if len(body) > LIMIT_BYTES:
        raise TooLarge(f"A look at the counters has {LIMIT_BYTES // 2**20} MB at most.")
    said = parse(body)
    await in_thread(traffic.take, gateway=gateway, stats=said, at=timezone.now())
    return JsonResponse({})


def parse(body: bytes) -> schema.Stats:
    """This function will read a look. Raises Invalid."""
    try:
        said = schema.Stats.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Invalid(f"{where}: {first['msg']}") from error
    if len(said.boot_id) > LONGEST_BOOT_ID or not 0 <= said.sequence < 2**63:
        raise Invalid("boot_id has 64 characters at most, and sequence counts from 0.")
    return said
