"""Members of a project, users of the server."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts import access as who
from apps.accounts import queries, services
from apps.accounts.forms import MemberForm, UserForm
from apps.accounts.models import User
from apps.core.errors import AppError
from apps.core.http import paging
from apps.core.http.forms import PageForm
from apps.core.http.htmx import page, render_page

PAGE = 50


def done(form: PageForm, action: Callable[[], object]) -> bool:
    """Do it and return True, or show on the form why not."""
    if not form.is_valid():
        return False
    try:
        action()
    except AppError as error:
        form.refuse(error)
        return False
    return True


@page("GET", "POST")
def member_list(request: HttpRequest, project: str) -> HttpResponse:
    """List the members; an admin's POST adds one or changes a role."""
    access = who.of(request)
    where = access.project(project)
    form = MemberForm(request.POST or None)
    if request.method == "POST":
        access.require_admin(where)
        data = form.data
        if done(form, lambda: services.set_member(project=where, **form.cleaned_data)):
            text = f"{data['username']} is a member of {where.name} ({data['role']})."
            messages.success(request, text, extra_tags="green")
            return redirect("accounts:members", where.name)
    context = {
        "project": where,
        "members": queries.members(where),
        "form": form,
        "may_change": access.is_admin(where),
    }
    status = 422 if form.errors else 200
    return render_page(request, "accounts/members.html", context, status=status)


@page("POST")
def member_remove(request: HttpRequest, project: str, username: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    access.require_admin(where)
    services.remove_member(project=where, username=username)
    messages.success(request, f"{username} is no longer a member.", extra_tags="green")
    return redirect("accounts:members", where.name)


@sensitive_post_parameters("password")
@page("GET", "POST")
def user_list(request: HttpRequest) -> HttpResponse:
    """List all users; a POST adds one."""
    access = who.of(request)
    access.require_global_admin()
    form = UserForm(request.POST or None)
    if request.method == "POST" and done(form, lambda: _create_user(form)):
        text = f"User {form.cleaned_data['username']} is added."
        messages.success(request, text, extra_tags="green")
        return redirect("accounts:users")
    users = User.objects.annotate(projects_count=Count("member"))
    shown = paging.page(users, by="username", limit=PAGE, cursor=request.GET.get("cursor"))
    status = 422 if form.errors else 200
    context = {"users": shown, "form": form}
    return render_page(request, "accounts/users.html", context, status=status)


def _create_user(form: UserForm) -> None:
    data = form.cleaned_data
    services.create_user(
        username=data["username"], password=data["password"] or None, admin=data["admin"]
    )


@page("POST")
def user_state(request: HttpRequest, username: str) -> HttpResponse:
    """Disable a user, or enable one again."""
    access = who.of(request)
    access.require_global_admin()
    active = request.POST.get("active") == "1"
    services.set_active(username=username, active=active, by=access.user)
    word = "enabled" if active else "disabled"
    messages.success(request, f"{username} is {word}.", extra_tags="green")
    return redirect("accounts:users")
