"""Instances of a project: a list to read."""

from __future__ import annotations

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import access as who
from apps.core.http import paging
from apps.core.http.htmx import live_url, page, render_page
from apps.instances import states
from apps.instances.costs import queries
from apps.instances.models import Instance

PAGE = 50


@page("GET")
def instance_list(request: HttpRequest, project: str) -> HttpResponse:
    where = who.of(request).project(project)
    show_all = request.GET.get("all") == "1"
    instances = Instance.objects.filter(project=where).select_related("backend")
    if not show_all:
        instances = instances.filter(state__in=states.INSTANCE.unfinished)
    live = ~Q(workloads__state=states.EXITED)
    instances = instances.annotate(workloads_count=Count("workloads", filter=live))
    found = paging.page(instances, by="-id", limit=PAGE, cursor=request.GET.get("cursor"))
    costs = queries.of_instances([each.pk for each in found.rows], at=timezone.now())
    for each in found.rows:
        each.cost_usd = costs[each.pk]
    context = {
        "project": where,
        "instances": found,
        "show_all": show_all,
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "instances/list.html", context)
