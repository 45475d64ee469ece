"""Pages that belong to no stage: home, documentation, errors."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.core.errors import AppError, Forbidden, NotFound
from apps.core.http.htmx import error_page, page
from apps.core.stores import disk
from dstack_web.web import docs, frame


@page("GET")
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the services of the project that one looked at last."""
    project = frame.current_project(request)
    if project is None:
        return render(request, "home.html")
    return redirect("runs:list", project.name)


@page("GET")
def doc(request: HttpRequest, name: str = docs.FIRST) -> HttpResponse:
    found = docs.find(name)
    if found is None:
        raise NotFound("There is no such page in the documentation.")
    context = {"doc": found, "docs": docs.every()}
    return render(request, "docs/page.html", context)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, AppError("The browser sent something that cannot be read."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(request, Forbidden("You may not do this."))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_page(
        request, NotFound("There is nothing at this address, or it is not yours to see.")
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_page(
        request,
        Forbidden("This form is too old, or the browser keeps no cookies. Go back, reload the "
        "page and send it again."),
    )  # fmt: skip


def server_error(request: HttpRequest) -> HttpResponse:
    """A page that asks neither database nor session, which may be what broke."""
    full = disk.refusal(sys.exc_info()[1])
    if full and request.headers.get("HX-Request"):
        return error_page(request, full)
    context = {"full": full.message if full else ""}
    return render(request, "500.html", context, status=full.status if full else 500)
