"""The uploads of a project: how much they take, who needs them, and deleting them."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts import access as who
from apps.core.http import paging
from apps.core.http.htmx import page, redirect, render_page
from apps.runs.files import stored

PAGE = 50


@page("GET")
def upload_list(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    cursor = request.GET.get("cursor")
    found = paging.page(where.uploads.all(), by="-id", limit=PAGE, cursor=cursor)
    needs = stored.needs(found.rows)
    context = {
        "project": where,
        "uploads": [(upload, needs[upload.pk]) for upload in found.rows],
        "next_cursor": found.next_cursor,
        "used_bytes": stored.used_bytes(where),
        "quota_bytes": stored.quota_bytes(),
    }
    return render_page(request, "runs/uploads.html", context)


@page("POST")
def upload_delete(request: HttpRequest, project: str, digest: str) -> HttpResponse:
    where = who.of(request).project(project)
    stored.delete(project=where, digest=digest)
    messages.success(request, f"The upload {digest[:12]} is deleted.", extra_tags="green")
    return redirect(request, reverse("runs:uploads", args=[where.name]))
