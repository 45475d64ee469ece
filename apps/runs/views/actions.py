"""What one does to a service: stop, scale, roll back, delete."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts import access as who
from apps.core.errors import AppError, Invalid
from apps.core.http.htmx import page, redirect
from apps.runs import queries, services
from apps.runs.rollout import versions
from apps.runs.views.service import is_of_settings, scale_again, scale_confirm, settings_again


@page("POST")
def stop(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    services.stop(access=access, run=run, abort=request.POST.get("abort") == "1")
    messages.success(request, f"{run.name} is stopping.", extra_tags="green")
    return redirect(request, reverse("runs:service", args=[project, name]))


@page("POST")
def scale(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    wanted = request.POST.get("replicas", "").strip()
    try:
        # Who has read it sends along what it was said of.
        if request.POST.get("confirmed") != wanted:
            warnings = services.scale_warnings(access=access, run=run, replicas=wanted)
            if warnings:
                return scale_confirm(request, run, typed=wanted, warnings=warnings)
        run = services.scale(access=access, run=run, replicas=wanted)
    except AppError as error:
        return scale_again(request, run, typed=wanted, error=error)
    text = f"{run.name} goes to {run.desired_replicas} replicas."
    messages.success(request, text, extra_tags="green")
    tab = "service_settings" if is_of_settings(request) else "service"
    return redirect(request, reverse(f"runs:{tab}", args=[project, name]))


@page("POST")
def rollback(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    to = request.POST.get("to", "")
    if not (to.isascii() and to.isdecimal() and len(to) < 10):
        raise Invalid("Choose a version to return to.")
    run = versions.rollback(access=access, run=run, to=int(to))
    text = f"{run.name} returns to version {to}, as version {run.version}."
    messages.success(request, text, extra_tags="green")
    return redirect(request, reverse("runs:service_versions", args=[project, name]))


@page("POST")
def delete(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    typed = request.POST.get("typed", run.name)
    if typed.strip() != run.name:
        return settings_again(
            *(request, access, run),
            status=422,
            delete_typed=typed,
            delete_problem=f"Type {run.name} to delete it.",
        )
    services.delete(access=access, run=run)
    messages.success(request, f"{run.name} is deleted.", extra_tags="green")
    return redirect(request, reverse("runs:list", args=[project]))
