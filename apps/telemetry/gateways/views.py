"""What a gateway carries and writes, as panels of its page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import page
from apps.gateways import queries as gateways
from apps.telemetry.gateways import queries

SHOWN_LINES = 60


@page("GET")
def traffic(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    gateway = gateways.named(where, name)
    figures = queries.figures(access, where, gateway, at=timezone.now())
    return render(request, "telemetry/gateway_traffic.html", {"figures": figures})


@page("GET")
def log(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """The last lines, for those who may change the gateway; nothing for others."""
    access = who.of(request)
    where = access.project(project)
    gateway = gateways.named(where, name)
    may_read = gateways.may_manage(access, where, gateway)
    lines = queries.log_tail(gateway, limit=SHOWN_LINES) if may_read else []
    context = {"lines": lines, "may_read": may_read}
    return render(request, "telemetry/gateway_log.html", context)
