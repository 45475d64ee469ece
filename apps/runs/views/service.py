"""The page of one service: its tabs, and the key that one makes right there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts import tokens
from apps.accounts.models import Project
from apps.core import crypto
from apps.core.errors import AppError
from apps.core.http.htmx import live_url, page, render_page
from apps.instances.costs import queries as spent
from apps.runs import public_urls, queries, states
from apps.runs.models import Run
from apps.runs.pages import snippets, view_models
from apps.runs.rollout import history, version_rows
from apps.runs.settings import tab as settings_tab
from apps.runs.whereabouts import looking

HOURS_A_MONTH = 730
TABS = (
    ("overview", "Overview"),
    ("metrics", "Metrics"),
    ("requests", "Requests"),
    ("logs", "Logs"),
    ("replicas", "Replicas"),
    ("events", "Events"),
    ("versions", "Versions"),
    ("configuration", "Configuration"),
    ("settings", "Settings"),
)
SETTINGS = "settings"
SHOWN_EVENTS = 300
YOUNG = timedelta(minutes=30)
SHOWN_ENDED = 20


@page("GET")
def service(request: HttpRequest, project: str, name: str, tab: str = "overview") -> HttpResponse:
    where = who.of(request).project(project)
    run = queries.find_run(where, name)
    context = _context(where, run, tab)
    if tab == SETTINGS:
        context |= settings_tab.context(who.of(request), run)
    return render_page(request, "runs/service.html", context)


@page("POST")
def key(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Make a key that calls just this service, and show it in the snippets this once."""
    access = who.of(request)
    where = access.project(project)
    run = queries.find_run(where, name)
    wanted = tokens.TokenRequest(name=f"calls {run.name}", project=where, run_names=[run.name])
    issued = tokens.create_own_token(access=access, request=wanted)
    context = {**_context(where, run, "overview", token=issued.text), "issued": issued.text}
    return render_page(request, "runs/service.html", context, status=201)


def scale_again(request: HttpRequest, run: Run, *, typed: str, error: AppError) -> HttpResponse:
    """Show the form of scaling with what was typed and why it was refused."""
    context = _context_of_form(request, run)
    context |= {"scale_typed": typed, "scale_problem": error.message}
    return render_page(request, "runs/service.html", context, status=error.status)


def scale_confirm(
    request: HttpRequest, run: Run, *, typed: str, warnings: list[str]
) -> HttpResponse:
    """Show the form of scaling with what to know first: sent again, it is done."""
    context = _context_of_form(request, run)
    context |= {"scale_typed": typed, "scale_warnings": warnings}
    return render_page(request, "runs/service.html", context)


def is_of_settings(request: HttpRequest) -> bool:
    """Tell whether a form that stands on several tabs was sent from Settings."""
    return request.POST.get("back") == SETTINGS


def _context_of_form(request: HttpRequest, run: Run) -> dict[str, Any]:
    if not is_of_settings(request):
        return _context(run.project, run, "overview")
    context = _context(run.project, run, SETTINGS)
    return context | settings_tab.context(who.of(request), run)


def settings_again(
    request: HttpRequest,
    access: who.Access,
    run: Run,
    sent: settings_tab.Section | None = None,
    *,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    """Show the Settings tab with a section as it was sent: refused, or to be confirmed."""
    context = _context(run.project, run, SETTINGS)
    context |= settings_tab.context(access, run, instead=sent) | more
    return render_page(request, "runs/service.html", context, status=status)


def _context(project: Project, run: Run, tab: str, *, token: str | None = None) -> dict[str, Any]:
    now = timezone.now()
    replicas = list(queries.replicas_of(run))
    where = looking.look(replicas, at=now)
    shown = [replica.pk for replica in replicas] if tab == "replicas" else []
    costs = spent.of_replicas(shown, at=now)
    rows = [
        view_models.ReplicaRow(replica, where[replica.pk], costs.get(replica.pk))
        for replica in replicas
    ]
    live = [row for row in rows if not row.replica.is_final]
    cost = queries.costs([run])[run.pk]
    context: dict[str, Any] = {
        "project": project,
        "run": run,
        "tab": tab,
        # Also where a form was refused, which has an address of its own.
        "here": reverse(
            "runs:service" if tab == "overview" else f"runs:service_{tab}",
            args=[project.name, run.name],
        ),
        "tabs": TABS,
        "replicas": live,
        "ready": sum(row.replica.state == states.RUNNING for row in live),
        "price": cost.now_usd_per_hour,
        "price_a_month": cost.now_usd_per_hour * HOURS_A_MONTH,
        "cost": cost,
        "why": view_models.why(run, replicas),
        "given_up": history.given_up(run),
        "is_active": run.state in queries.ACTIVE_RUNS,
        "live_url": live_url(project=project.name, run=str(run.pk), logs=tab == "logs"),
        **_endpoint(run, token),
    }
    return context | _of_tab(run, tab, rows, now)


def _endpoint(run: Run, token: str | None) -> dict[str, Any]:
    url, path_url = queries.run_url(run), public_urls.path_url(run)
    needs_token = run.spec.get("auth", True)
    return {
        "url": url,
        "path_url": path_url if path_url != url else "",
        "model_url": public_urls.model_url(run),
        "needs_token": needs_token,
        "opens_by_cookie": public_urls.opens_by_cookie(run),
        "snippets": _snippets(run, url, path_url or url, token),
    }


def _snippets(run: Run, url: str, code_url: str, token: str | None) -> list[snippets.Snippet]:
    base_url = public_urls.model_url(run)
    if base_url:
        return snippets.of_model(base_url=base_url, model=run.spec["model"]["name"], token=token)
    needs_token = run.spec.get("auth", True)
    return snippets.of_service(url=url, code_url=code_url, token=token, needs_token=needs_token)


def _of_tab(
    run: Run, tab: str, rows: list[view_models.ReplicaRow], now: datetime
) -> dict[str, Any]:
    if tab == "configuration":
        return {"configuration": crypto.decrypt(run.configuration)}
    if tab == "versions":
        return {"versions": version_rows.of(history.of(run))}
    ended = [row for row in rows if row.replica.is_final]
    ended.sort(key=lambda row: row.replica.pk, reverse=True)
    events = list(queries.timeline(run)[:SHOWN_EVENTS]) if tab in ("overview", "events") else []
    starting = view_models.starting(run, rows, at=now)
    return {
        "ended": ended[:SHOWN_ENDED],
        "last_failed": view_models.failure_to_show(run, [row.replica for row in rows]),
        "starting": starting,
        "happenings": view_models.happenings(events),
        # An hour of a service that is new would show mostly nothing.
        "is_young": now - run.created_at < YOUNG,
        "starts": view_models.starts(
            events,
            at=now,
            machine_of=queries.machines_of(events) if tab == "overview" else {},
            first=starting.replica.pk if starting else None,
        ),
    }
