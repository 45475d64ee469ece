"""Opening a service in the browser that has the dashboard."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import page
from apps.routing import browsers
from apps.runs import queries


@page("POST")
def open_service(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Lead to the service by a page, since a form's answer may lead to no other host."""
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    address = browsers.issue(
        user=access.user,
        run=run,
        session_key=request.session.session_key or "",
        at=timezone.now(),
    )
    return render(request, "routing/open.html", {"run": run, "address": address})
