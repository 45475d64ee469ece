"""The gateway's routes: its table, its status. See `gateway.schema` for the messages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from pydantic import ValidationError

from apps.core import live, wake
from apps.core.errors import Invalid
from apps.core.threads import in_thread
from apps.gateways.access import gateway_of
from apps.gateways.models import Gateway
from apps.instances.agent_api import answers_errors, number
from apps.routing import services
from gateway import schema


@csrf_exempt
@require_GET
@answers_errors
async def table(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    since = int(number(request, "since"))

    async def news() -> schema.Table | None:
        revision = await in_thread(_revision, gateway)
        if revision == since and since > 0:
            return None
        return await in_thread(services.table, gateway=gateway, since=since)

    wait = number(request, "wait")
    answer = await live.wait_until(f"gateway:{gateway.pk}", news, seconds=wait)
    if answer is None:
        answer = await in_thread(services.table, gateway=gateway, since=since)
    return HttpResponse(answer.model_dump_json(), content_type="application/json")


def _revision(gateway: Gateway) -> int:
    return Gateway.objects.values_list("revision", flat=True).get(pk=gateway.pk)


@csrf_exempt
@require_POST
@answers_errors
async def status(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    try:
        said = schema.Status.model_validate_json(request.body)
    except ValidationError as error:
        raise Invalid(str(error)) from error
    drained = await in_thread(services.take_status, gateway=gateway, status=said, at=timezone.now())
    if drained:
        await in_thread(wake.transitioned, "replica", "drained", drained)
    if asleep := await in_thread(services.asked_for, gateway=gateway, held=said.held):
        await in_thread(wake.transitioned, "endpoint", "held", asleep)
    return JsonResponse({})
