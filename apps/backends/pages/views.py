"""Backends of a project: where its services can run."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from apps.accounts import access as who
from apps.backends import queries, services
from apps.core.http.htmx import page, render_page


@page("GET")
def backend_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    context = {
        "project": where,
        "backends": queries.backends_of(where),
        "may_change": access.is_global_admin,
        "missing": queries.missing(access, where),
    }
    return render_page(request, "backends/list.html", context)


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
def close(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    services.delete(access=access, backend=queries.named(where, name))
    messages.success(request, f"{name} is closed for {where.name}.", extra_tags="green")
    return redirect("backends:list", where.name)
