"""The notes above a service's page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import page
from apps.runs import queries as runs
from apps.telemetry.alerts import queries


@page("GET")
def alerts(request: HttpRequest, project: str, name: str) -> HttpResponse:
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    found = queries.of_run(run, at=timezone.now())
    return render(request, "telemetry/alerts.html", {"project": where, "run": run, "alerts": found})
