"""Instances of a project: a list, a page for each, and ending one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http import paging
from apps.core.http.htmx import live_url, page, redirect, render_page
from apps.instances import caches, ending
from apps.instances.listing import queries
from apps.instances.strays import unknown

PAGE = 50


@page("GET")
def instance_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    show_all = request.GET.get("all") == "1"
    instances = queries.instances_of(where, ended=show_all)
    found = paging.page(instances, by="-id", limit=PAGE, cursor=request.GET.get("cursor"))
    strays = queries.unknown_machines(access, where)
    rows = queries.shown(where, found.rows, access=access)
    context = {
        "project": where,
        "rows": rows,
        "names": queries.names(row.running for row in rows),
        "next_cursor": found.next_cursor,
        "show_all": show_all,
        "unknown": [(each, unknown.ends_at(each)) for each in strays],
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "instances/list.html", context)


@page("GET")
def instance_page(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    instance = queries.find(where, name)
    (row,) = queries.shown(where, [instance], access=access)
    context = {
        "project": where,
        "row": row,
        "names": queries.names([row.running]),
        "may_clear": access.is_admin(where),
        "instance": instance,
        "events": queries.events_of(instance)[: queries.SHOWN_EVENTS],
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "instances/instance.html", context)


@page("POST")
def terminate(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    instance = queries.find(where, name)
    ending.terminate(instance, access=access, at=timezone.now())
    messages.success(request, f"{instance.name} is being terminated.", extra_tags="green")
    return redirect(request, reverse("instances:instance", args=[where.name, instance.name]))


@page("POST")
def clear_cache(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    instance = queries.find(where, name)
    caches.clear(instance, where, access=access)
    said = f"The model files of {where.name} on {instance.name} are being removed."
    messages.success(request, said, extra_tags="green")
    return redirect(request, reverse("instances:instance", args=[where.name, instance.name]))
