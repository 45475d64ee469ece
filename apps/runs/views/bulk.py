"""What one does to several services at once: first what it means for each, then to do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts import access as who
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import AppError, Invalid
from apps.core.http.htmx import page, redirect, render_page
from apps.runs import public_urls, queries, services
from apps.runs.models import Run

# More than the list has on a page.
MOST = 200
# So many are said by name; the list shows the others.
MOST_SAID = 5


@dataclass(frozen=True)
class Deed:
    """`refusal` says why a run is left as it is, "" where it is not."""

    key: str
    verb: str
    done: str
    act: Callable[[Access, Run, bool], object]
    refusal: Callable[[Run], str]


def _cannot_stop(run: Run) -> str:
    return "is over already" if run.is_final else ""


def _cannot_delete(run: Run) -> str:
    return "" if run.is_final else f"is {run.state}: stop it first"


DEEDS = {
    deed.key: deed
    for deed in (
        Deed(
            *("stop", "Stop", "stopping"),
            lambda access, run, abort: services.stop(access=access, run=run, abort=abort),
            _cannot_stop,
        ),
        Deed(
            *("delete", "Delete", "deleted"),
            lambda access, run, _: services.delete(access=access, run=run),
            _cannot_delete,
        ),
    )
}


@page("GET", "POST")
def bulk(request: HttpRequest, project: str) -> HttpResponse:
    """Say on GET what would happen, and do it on POST."""
    access = who.of(request)
    where = access.project(project)
    asked = request.POST if request.method == "POST" else request.GET
    deed = DEEDS.get(asked.get("do", ""))
    if deed is None:
        raise Invalid("Say what to do with the services: stop or delete them.")
    runs, gone = _chosen(where, asked.getlist("chosen"))
    back = f"{reverse('runs:list', args=[where.name])}?{asked.get('back', '')[:500]}"
    if request.method == "POST":
        _do(request, access, deed, runs, gone)
        return redirect(request, back)
    fitting = [run for run in runs if not deed.refusal(run)]
    context: dict[str, Any] = {
        "project": where,
        "deed": deed,
        "back": back,
        "back_query": asked.get("back", "")[:500],
        "fitting": [(run, queries.run_url(run), _model(run)) for run in fitting],
        "left": [(run, said) for run in runs if (said := deed.refusal(run))],
        "gone": gone,
    }
    return render_page(request, "runs/bulk.html", context)


def _chosen(where: Project, texts: Sequence[str]) -> tuple[list[Run], int]:
    """The runs of the project that are meant, by name, and how many are not there."""
    if not texts:
        raise Invalid("No service is chosen: tick some in the list.")
    if len(texts) > MOST:
        raise Invalid(f"At most {MOST} services at once; {len(texts):,} are chosen.")
    ids = {_uuid(text) for text in texts}
    runs = list(queries.runs_of(where).filter(pk__in=ids).order_by("name", "-id"))
    return runs, len(ids) - len(runs)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Invalid("What is chosen is no service: go back and choose anew.") from error


def _model(run: Run) -> str:
    """The model's name that ends with the run, "" where it offers none."""
    return run.spec["model"]["name"] if public_urls.model_url(run) else ""


def _do(request: HttpRequest, access: Access, deed: Deed, runs: Sequence[Run], gone: int) -> None:
    """Each by itself: what is refused of one is no reason to leave the others."""
    abort = request.POST.get("abort") == "1"
    done, problems = [], []
    for run in runs:
        if said := deed.refusal(run):
            problems.append(f"{run.name} {said}.")
            continue
        try:
            deed.act(access, run, abort)
            done.append(run.name)
        except AppError as error:
            problems.append(error.message)
    if done:
        what = done[0] if len(done) == 1 else f"{len(done):,} services"
        text = f"{what} {'is' if len(done) == 1 else 'are'} {deed.done}."
        messages.success(request, text, extra_tags="green")
    if gone:
        problems.append(f"{gone:,} of the chosen services {'is' if gone == 1 else 'are'} gone.")
    if len(problems) > MOST_SAID:
        problems[MOST_SAID:] = [f"And {len(problems) - MOST_SAID:,} more."]
    for text in problems:
        messages.error(request, text, extra_tags="red")
