"""A project as a whole: new ones, what bounds it, and its end."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts import projects, services
from apps.accounts.forms import DeleteProjectForm, ProjectForm, ReplicasLimitForm
from apps.accounts.views.people import done
from apps.core.http.htmx import page, render_page


@page("GET", "POST")
def project_new(request: HttpRequest) -> HttpResponse:
    access = who.of(request)
    form = ProjectForm(request.POST or None)
    if request.method == "POST" and done(
        form,
        lambda: services.create_project(name=form.cleaned_data["name"], creator=access.user),
    ):
        return redirect("runs:list", form.cleaned_data["name"])
    status = 422 if form.errors else 200
    return render_page(request, "accounts/project_new.html", {"form": form}, status=status)


@page("GET", "POST")
def project_settings(request: HttpRequest, project: str) -> HttpResponse:
    """Show what bounds the project; a POST by an admin of the server changes it."""
    access = who.of(request)
    where = access.project(project)
    limit = projects.replicas_limit(where)
    sent = request.POST if request.method == "POST" else None
    form = ReplicasLimitForm(sent, initial={"replicas_limit": where.replicas_limit})
    if request.method == "POST":
        access.require_global_admin()
        if done(
            form,
            lambda: projects.set_replicas_limit(
                access=access, project=where, limit=form.cleaned_data["replicas_limit"]
            ),
        ):
            messages.success(request, "The limit is changed.", extra_tags="green")
            return redirect("accounts:project_settings", where.name)
    context = {
        "project": where,
        "form": form,
        "limit": limit,
        "may_limit": access.is_global_admin,
        "may_delete": access.is_admin(where),
    }
    status = 422 if form.errors else 200
    return render_page(request, "accounts/project_settings.html", context, status=status)


@page("GET", "POST")
def project_delete(request: HttpRequest, project: str) -> HttpResponse:
    """Ask whether the project shall go, with its name to be typed; a POST with it deletes it."""
    access = who.of(request)
    where = access.project(project)
    access.require_admin(where)
    sent = request.POST if request.method == "POST" else None
    form = DeleteProjectForm(sent, name=where.name)
    if request.method == "POST" and done(
        form, lambda: projects.delete(access=access, project=where, at=timezone.now())
    ):
        messages.success(request, f"Project {where.name} is deleted.", extra_tags="green")
        return redirect("home")
    status = 422 if form.errors else 200
    context = {"project": where, "form": form}
    return render_page(request, "accounts/project_delete.html", context, status=status)
