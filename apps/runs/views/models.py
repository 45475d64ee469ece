"""The models of a project: which there are, and how to ask them."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from apps.accounts import access as who
from apps.core.http.htmx import live_url, page, render_page
from apps.runs import public_urls, queries
from apps.runs.pages import snippets


@page("GET")
def model_list(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    runs = list(queries.runs_with_models(where))
    urls = sorted({url for run in runs if (url := public_urls.model_url(run))})
    context = {
        "project": where,
        "models": [(run.spec["model"], run) for run in runs],
        "base_urls": urls,
        "snippets": _snippets(runs[0].spec["model"]["name"], urls[0]) if urls else [],
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "runs/models.html", context)


def _snippets(model: str, base_url: str) -> list[snippets.Snippet]:
    return snippets.of_model(base_url=base_url, model=model, token=None)
