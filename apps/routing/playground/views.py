"""The playground: a page, its chats, the code of the same call, and a key for it."""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from pydantic import ValidationError

from apps.accounts import access as who
from apps.accounts import tokens
from apps.accounts.models import Project
from apps.core.errors import AppError, Conflict, Invalid, NotFound
from apps.core.http import bodies
from apps.core.http.closed_stream import ClosedStream
from apps.core.http.htmx import View, live_url, page, render_page
from apps.gateways.models import Gateway
from apps.routing.playground import answer, asked, chat_keys, destination
from apps.routing.playground.asked import Asked
from apps.runs import public_urls, queries
from apps.runs.models import Run
from apps.runs.pages import snippets

LANGUAGES = (("python", "Python"), ("js", "JavaScript"), ("curl", "curl"))


@page("GET")
def playground(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    runs = list(queries.runs_with_models(where))
    names = [run.spec["model"]["name"] for run in runs]
    chosen, beside = (request.GET.get(name, "") for name in ("model", "beside"))
    if chosen not in names:
        chosen = names[0] if names else ""
    context = {
        "project": where,
        "models": list(zip(names, runs, strict=True)),
        "columns": [chosen, beside],
        "has_two": beside in names,
        "languages": LANGUAGES,
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "routing/playground.html", context)


def in_json(view: View) -> View:
    """Say what is wrong to a script."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except AppError as error:
            return JsonResponse({"message": error.message}, status=error.status)

    return guarded


@page("POST")
@in_json
def chat(request: HttpRequest, project: str) -> HttpResponse:
    """Ask a model for a member, and stream its answer; see `answer`."""
    access = who.of(request)
    where = access.project(project)
    wanted = _asked(request)
    run, gateway = _served(where, wanted.model)
    call = answer.Call(
        access=access,
        project=where.name,
        run=run,
        destination=destination.of(gateway),
        key=chat_keys.key_for(
            user=access.user,
            run=run,
            session_key=request.session.session_key or "",
            at=timezone.now(),
        ),
        body=asked.as_json(wanted.call()),
    )
    # Not awaited here: it runs when this view, its thread and its connection are done.
    response = ClosedStream(answer.events(call), content_type=answer.STREAM)
    response["X-Accel-Buffering"] = "no"
    return response  # type: ignore[return-value]


@page("POST")
@in_json
def code(request: HttpRequest, project: str) -> HttpResponse:
    """Write the same call in other words. A key stands in it as `snippets.KEY`: the page, which was
    told it once, puts it there."""
    where = who.of(request).project(project)
    has_key = request.GET.get("key") == "1"
    wanted = _asked(request)
    _, gateway = _served(where, wanted.model)
    made = snippets.of_call(
        base_url=public_urls.openai_url(gateway),
        call=wanted.call(),
        token=snippets.KEY if has_key else None,
    )
    found = [{"key": each.key, "title": each.title, "code": each.code} for each in made]
    return JsonResponse({"snippets": found, "stands_for_key": snippets.KEY})


@page("POST")
@in_json
def key(request: HttpRequest, project: str) -> HttpResponse:
    """Make a key that calls the model's service alone, and tell it this once."""
    access = who.of(request)
    where = access.project(project)
    run, _ = _served(where, request.GET.get("model", ""))
    wanted = tokens.TokenRequest(name=f"calls {run.name}", project=where, run_names=[run.name])
    issued = tokens.create_own_token(access=access, request=wanted)
    return JsonResponse({"key": issued.text, "run": run.name}, status=201)


def _asked(request: HttpRequest) -> Asked:
    body = bodies.read(request, most_bytes=asked.MOST_BYTES, what="A chat")
    try:
        return asked.read(bodies.parsed(body))
    except ValidationError as error:
        raise Invalid(f"This cannot be asked: {bodies.words(error)}.") from error


def _served(project: Project, model: str) -> tuple[Run, Gateway]:
    """The run that offers a model, and its gateway. Raise NotFound and Conflict."""
    runs = queries.runs_with_models(project).select_related("gateway", "project")
    run = runs.filter(spec__model__name=model).first() if "\0" not in model else None
    if run is None:
        raise NotFound(f"No service of this project offers a model {model[:100]!r} right now.")
    if run.gateway is None:
        raise Conflict(f"{run.name} has no gateway, so its model cannot be asked.")
    return run, run.gateway
