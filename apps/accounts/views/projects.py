"""A project as a whole: new ones, what bounds it, and its end."""

from __future__ import annotations

from decimal import Decimal

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts import projects, services
from apps.accounts.forms import (
    BudgetForm,
    DeleteProjectForm,
    MachineLimitsForm,
    ProjectForm,
    ReplicasLimitForm,
)
from apps.accounts.models import Project
from apps.accounts.views.people import done
from apps.core.http.forms import PageForm
from apps.core.http.htmx import page, render_page

SETTINGS: dict[str, type[PageForm]] = {
    "replicas": ReplicasLimitForm,
    "machines": MachineLimitsForm,
    "budget": BudgetForm,
}
# The field by which a form that was sent is known.
MARKS = {"machines": "max_instances", "budget": "usd_per_month"}


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
    """Show what bounds the project. A POST changes the limits on its machines or its budget, by its
    admins, or the limit on replicas, by an admin of the server."""
    access = who.of(request)
    where = access.project(project)
    sent = request.POST if request.method == "POST" else None
    asked = "replicas"
    if sent is not None:
        asked = next((name for name, field in MARKS.items() if field in sent), asked)
    shown = {
        name: form(sent if name == asked else None, initial=_initial(where)[name])
        for name, form in SETTINGS.items()
    }
    if sent is not None and _set(access, where, shown[asked]):
        said = "The budget is changed." if asked == "budget" else "The limits are changed."
        messages.success(request, said, extra_tags="green")
        return redirect("accounts:project_settings", where.name)
    context = {
        "project": where,
        "form": shown["replicas"],
        "machines": shown["machines"],
        "budget": shown["budget"],
        "limit": projects.replicas_limit(where),
        "may_limit": access.is_global_admin,
        "may_delete": access.is_admin(where),
    }
    status = 422 if any(form.errors for form in shown.values()) else 200
    return render_page(request, "accounts/project_settings.html", context, status=status)


def _initial(where: Project) -> dict[str, dict[str, object]]:
    return {
        "replicas": {"replicas_limit": where.replicas_limit},
        "machines": {
            "max_instances": where.max_instances,
            "max_usd_per_hour": _plain(where.max_usd_per_hour),
        },
        "budget": {
            "usd_per_month": _plain(where.budget_usd_per_month),
            "warn_percent": where.budget_warn_percent,
        },
    }


def _plain(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount.normalize():f}"


def _set(access: who.Access, where: Project, form: PageForm) -> bool:
    """Do what a form asks for; whoever may not is told that before what is wrong with it."""
    if isinstance(form, ReplicasLimitForm):
        access.require_global_admin()
        return done(
            form,
            lambda: projects.set_replicas_limit(
                access=access, project=where, limit=form.cleaned_data["replicas_limit"]
            ),
        )
    access.require_admin(where)
    if isinstance(form, MachineLimitsForm):
        return done(
            form,
            lambda: projects.set_machine_limits(access=access, project=where, **form.cleaned_data),
        )
    return done(
        form,
        lambda: projects.set_budget(
            access=access, project=where, at=timezone.now(), **form.cleaned_data
        ),
    )


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
