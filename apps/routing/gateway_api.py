"""The gateway's routes: its table, its status. See `gateway.schema` for the messages."""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone

from apps.core import notifications
from apps.core.http import bodies
from apps.core.http.internal_routes import internal_route
from apps.core.http.long_poll import long_poll, since
from apps.core.threads import in_thread
from apps.gateways.access import gateway_of
from apps.gateways.models import Gateway
from apps.gateways.records import keeping
from apps.routing import services, tunnels
from gateway import schema


@internal_route("GET")
async def table(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    known = since(request)
    answer = await long_poll(
        request,
        f"gateway:{gateway.pk}",
        has_news=lambda: known <= 0 or _revision(gateway) != known,
        answer=partial(services.table, gateway=gateway, since=known),
    )
    return HttpResponse(answer.model_dump_json(), content_type="application/json")


def _revision(gateway: Gateway) -> int:
    return Gateway.objects.values_list("revision", flat=True).get(pk=gateway.pk)


@internal_route("POST")
async def status(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    said = bodies.validated(request.body, schema.Status.model_validate_json)
    at = timezone.now()
    drained = await in_thread(services.take_status, gateway=gateway, status=said, at=at)
    if reached := await in_thread(tunnels.take_reached, gateway=gateway, status=said, at=at):
        await in_thread(notifications.transitioned, "replica", "reached", reached)
    if cut := await in_thread(tunnels.take_cut, gateway=gateway, status=said, at=at):
        await in_thread(notifications.transitioned, "replica", "cut", cut)
    if drained:
        await in_thread(notifications.transitioned, "replica", "drained", drained)
    if asleep := await in_thread(services.asked_for, gateway=gateway, held=said.held):
        await in_thread(notifications.transitioned, "endpoint", "held", asleep)
    return JsonResponse({})


@internal_route("POST")
async def ticket(request: HttpRequest) -> HttpResponseBase:
    gateway = await in_thread(gateway_of, request)
    said = bodies.validated(request.body, schema.Ticket.model_validate_json)
    opened = await in_thread(
        services.open_in_browser,
        gateway=gateway,
        endpoint=said.endpoint,
        ticket=said.ticket,
        at=timezone.now(),
    )
    return HttpResponse(opened.model_dump_json(), content_type="application/json")


@internal_route("POST")
async def dns(request: HttpRequest) -> HttpResponse:
    """An answer to an authority's challenge, which is written elsewhere: asked again, it says how
    that stands."""
    gateway = await in_thread(gateway_of, request)
    asked = bodies.validated(request.body, schema.DnsAnswer.model_validate_json)
    answer = await in_thread(_dns_state, gateway, asked)
    return HttpResponse(answer.model_dump_json(), content_type="application/json")


def _dns_state(gateway: Gateway, asked: schema.DnsAnswer) -> schema.DnsState:
    found = keeping.ask(
        gateway=gateway, name=asked.name, value=asked.value, is_wanted=asked.is_wanted
    )
    if found is None:
        return schema.DnsState(is_there=False)
    return schema.DnsState(is_there=found.is_there, error=found.error)
