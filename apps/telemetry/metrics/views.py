"""A service's figures in its page: the charts, the line below its name, the table of services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http.htmx import page, render_page
from apps.runs import queries as runs
from apps.runs.models import Run
from apps.telemetry.metrics import model_figures as models
from apps.telemetry.metrics import series

RANGES = ("15m", "1h", "6h", "24h", "7d")
DEFAULT_RANGE = "1h"
# A service that is not an hour old would show mostly nothing.
YOUNG, RANGE_OF_THE_YOUNG = timedelta(hours=1), "15m"
SPARK_WIDTH, SPARK_HEIGHT = 72, 18
# More than the table has rows on a page.
SHOWN_RUNS = 200


@dataclass(frozen=True)
class Row:
    run: Run
    figures: series.Figures
    spark: str


@page("GET")
def metrics(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Show the charts of a service; what they draw comes from `metrics_data`."""
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    asked = request.GET.get("range", "")
    context = {
        "project": where,
        "run": run,
        "range": asked if asked in RANGES else _usual_range(run),
        "ranges": RANGES,
        "has_model": bool(run.spec.get("model")),
    }
    return render_page(request, "telemetry/metrics.html", context)


def _usual_range(run: Run) -> str:
    return RANGE_OF_THE_YOUNG if timezone.now() - run.created_at < YOUNG else DEFAULT_RANGE


@page("GET")
def metrics_data(request: HttpRequest, project: str, name: str) -> HttpResponse:
    where = who.of(request).project(project)
    run = runs.find_run(where, name)
    length = series.read_range(request.GET.get("range") or DEFAULT_RANGE)
    found = series.requests_of(run=run, length=length, at=timezone.now())
    return JsonResponse(series.as_numbers(found))


@page("GET")
def figures(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """The line below a service's name: what it is doing now."""
    run = runs.find_run(who.of(request).project(project), name)
    found = series.figures(run_ids=[run.pk], at=timezone.now())[run.pk]
    return render(request, "telemetry/figures.html", {"run": run, "figures": found})


@page("GET")
def list_figures(request: HttpRequest, project: str) -> HttpResponse:
    """What belongs into the cells of the table of services, for the rows that it has now."""
    shown = _shown(request, project)
    found = series.figures(run_ids=[run.pk for run in shown], at=timezone.now())
    rows = [Row(run, found[run.pk], _spark(found[run.pk])) for run in shown]
    context: dict[str, Any] = {"rows": rows, "width": SPARK_WIDTH, "height": SPARK_HEIGHT}
    return render(request, "telemetry/list_figures.html", context)


@page("GET")
def model_figures(request: HttpRequest, project: str) -> HttpResponse:
    """What belongs into the cells of the table of models."""
    shown = _shown(request, project)
    found = models.of_runs(run_ids=[run.pk for run in shown], at=timezone.now())
    rows = [(run, found[run.pk]) for run in shown]
    return render(request, "telemetry/model_figures.html", {"rows": rows})


def _shown(request: HttpRequest, project: str) -> list[Run]:
    """The runs whose rows the page has."""
    where = who.of(request).project(project)
    asked = [pk for text in request.GET.getlist("run")[:SHOWN_RUNS] if (pk := _uuid(text))]
    return list(runs.runs_of(where).filter(pk__in=asked))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _spark(figures: series.Figures) -> str:
    """The points of a polyline, the most at the top."""
    most = max(figures.spark, default=0)
    if not most:
        return ""
    step = SPARK_WIDTH / max(len(figures.spark) - 1, 1)
    room = SPARK_HEIGHT - 2
    points = (
        f"{index * step:.1f},{SPARK_HEIGHT - 1 - value / most * room:.1f}"
        for index, value in enumerate(figures.spark)
    )
    return " ".join(points)
