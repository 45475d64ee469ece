"""What scaling decided, as a panel below a service's charts."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.autoscaling import queries
from apps.core.http.htmx import page, render_page
from apps.runs import queries as runs

SHOWN = 200


@page("GET")
def decisions(request: HttpRequest, project: str, name: str) -> HttpResponse:
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    context = {
        "project": where,
        "run": run,
        "scales": bool(run.spec.get("scaling")),
        "decisions": queries.decisions_of(run)[:SHOWN],
    }
    return render_page(request, "autoscaling/decisions.html", context)
