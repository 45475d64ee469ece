"""Gateways of a project: a list to read."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.core.htmx import page, render_page
from apps.gateways import queries


@page("GET")
def gateway_list(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    context = {"project": where, "publications": queries.gateways_of(where)}
    return render_page(request, "gateways/list.html", context)
