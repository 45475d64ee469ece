"""One's tokens: list, create (shown once), revoke."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts import tokens
from apps.accounts.forms import TokenForm
from apps.accounts.models import Project
from apps.core.errors import AppError
from apps.core.http import paging
from apps.core.http.htmx import page, render_page

PAGE = 50


@page("GET", "POST")
def token_list(request: HttpRequest, project: str) -> HttpResponse:
    """List one's tokens; a POST makes one and shows it this once."""
    access = who.of(request)
    where = access.project(project)
    form = TokenForm(request.POST or None, project=where)
    issued = _issue(access, form) if request.method == "POST" else None
    shown = paging.page(
        tokens.live_tokens(access), by="-id", limit=PAGE, cursor=request.GET.get("cursor")
    )
    context = {
        "project": where,
        "tokens": shown,
        "form": TokenForm(project=where) if issued else form,
        "issued": issued,
        "now": timezone.now(),
    }
    status = 422 if form.errors else 201 if issued else 200
    return render_page(request, "accounts/tokens.html", context, status=status)


def _issue(access: who.Access, form: TokenForm) -> tokens.Issued | None:
    if not form.is_valid():
        return None
    try:
        return tokens.create_own_token(access=access, request=form.request(at=timezone.now()))
    except AppError as error:
        form.refuse(error)
        return None


@page("POST")
def token_revoke(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    access = who.of(request)
    where: Project = access.project(project)
    tokens.revoke(access=access, pk=pk, at=timezone.now())
    messages.success(request, "The token is revoked.", extra_tags="green")
    return redirect("accounts:tokens", where.name)
