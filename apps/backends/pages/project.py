"""Backends as people look at them: which there are, how each of them does, what to do with it."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from apps.accounts import access as who
from apps.backends import identity, queries, services
from apps.backends.base import SERVER_TAG
from apps.backends.connecting import config_form, requests, roles, rows
from apps.backends.faults import leaving, said
from apps.backends.models import Backend, Check
from apps.backends.pages.places import Place, place_of
from apps.core.http.htmx import page, render_page


@dataclass(frozen=True)
class Shown:
    """A backend with what a page says of it."""

    backend: Backend
    live: queries.Live
    state: str
    regions: str
    check: Check | None
    url: str


@page("GET")
def backend_list(request: HttpRequest, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    shown = [_shown(place, each) for each in place.backends().select_related("project")]
    missing = queries.missing(place.access, place.project) if place.project else None
    context = {
        "place": place,
        "project": place.project,
        "backends": shown,
        "missing": missing,
        "held": identity.why_held(),
        "left_behind": leaving.told(place.project, at=timezone.now()) if place.may_connect else [],
        "server_tag": f"{SERVER_TAG}={identity.server_id()}",
    }
    return render_page(request, "backends/list.html", context)


@page("GET")
def backend_detail(request: HttpRequest, name: str, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    backend = place.backend(name)
    may_change = roles.may_manage(place.access, backend)
    of_project = None if backend.project_id else place.project
    known = rows.shown(backend) if may_change or backend.project_id else {}
    context = {
        "place": place,
        "project": place.project,
        "shown": _shown(place, backend),
        "may_change": may_change,
        "is_cloud": backend.kind not in queries.KEPT,
        "config": config_form.stored(known),
        "notes": queries.notes(backend) if may_change else [],
        "instances": queries.live_instances(backend, of_project).order_by("-pk")[:50],
        "cloud_said": list(said.of(backend)) if may_change else [],
        "errors": queries.last_errors(backend, of_project),
        "policy": requests.policy_of(backend.kind),
        "shared_with": None if backend.project_id or not may_change else _shared_with(backend),
        "urls": {
            word: place.url(f"backend_{word}", backend.name)
            for word in ("check", "state", "delete", "config")
        },
    }
    return render_page(request, "backends/detail.html", context)


@page("POST")
def open_local(request: HttpRequest, project: str) -> HttpResponse:
    """Open this machine for the project, and go back to where one was asked to."""
    access = who.of(request)
    where = access.project(project)
    services.open_local(access=access, project=where)
    text = f"Services of {where.name} can run on this machine now."
    messages.success(request, text, extra_tags="green")
    after = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(
        after, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return redirect(after)
    return redirect("backends:list", where.name)


@page("POST")
def backend_check(request: HttpRequest, name: str, project: str | None = None) -> HttpResponse:
    """Begin a check, and show what comes of it."""
    place = place_of(request, project)
    check = requests.check(access=place.access, backend=place.backend(name))
    return redirect(place.url("check", check.pk))


@page("POST")
def backend_state(request: HttpRequest, name: str, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    backend = place.backend(name)
    disabled = request.POST.get("disabled") == "1"
    services.set_disabled(access=place.access, backend=backend, disabled=disabled)
    told = f"{name} is disabled; what runs there goes on." if disabled else f"{name} is enabled."
    messages.success(request, told, extra_tags="green")
    return redirect(place.url("detail", name))


@page("POST")
def backend_delete(request: HttpRequest, name: str, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    force = request.POST.get("force") == "1"
    backend = place.backend(name)
    gone = services.delete(access=place.access, backend=backend, ends_machines=force)
    told = f"{name} is deleted." if gone else f"{name} ends its machines and is then gone."
    messages.success(request, told, extra_tags="green")
    return redirect(place.list_url)


def _shown(place: Place, backend: Backend) -> Shown:
    may_change = roles.may_manage(place.access, backend)
    known = rows.shown(backend) if may_change or backend.project_id else {}
    return Shown(
        backend=backend,
        live=queries.live(backend, place.project),
        state=queries.state_of(backend),
        regions=", ".join(known.get("regions") or ()),
        check=queries.last_check(backend) if may_change else None,
        url=place.url("detail", backend.name),
    )


def _shared_with(backend: Backend) -> str:
    if backend.for_all:
        return "all projects"
    names = backend.shared_with.filter(deleted_at=None).order_by("name")
    return ", ".join(names.values_list("name", flat=True)) or "no project yet"
