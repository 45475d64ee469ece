"""Pages of hosts: the list with the form, each host with what is done there now."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import access as who
from apps.backends import way_home
from apps.core.errors import AppError
from apps.core.http.htmx import live_url, page, render_page
from apps.hosts import queries, services
from apps.hosts.forms import HostForm
from apps.hosts.models import Host
from apps.instances.listing import queries as instances


@page("GET")
def host_list(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    rows = queries.shown(where, list(queries.hosts_of(where)))
    context = {
        "project": where,
        "rows": rows,
        "names": instances.names(row.running for row in rows),
        "may_change": access.is_admin(where),
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "hosts/list.html", context)


@page("GET", "POST")
def host_add(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    services.require_manager(access, where)
    form = HostForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and (host := _added(access, form, where.name)) is not None:
        return redirect("hosts:detail", where.name, host.name)
    context = {
        "project": where,
        "form": form,
        "public_key": queries.public_key(where),
        "unreachable": way_home.missing(),
    }
    status = 422 if form.errors else 200
    return render_page(request, "hosts/add.html", context, status=status)


def _added(access: who.Access, form: HostForm, project: str) -> Host | None:
    if not form.is_valid():
        return None
    said = form.cleaned_data
    try:
        new = services.NewHost(
            where=said["address"],
            key=form.key_text(),
            jump=said["jump"],
            price_usd_per_hour=said["price_usd_per_hour"] or 0.0,
            name=said["name"].strip(),
        )
        where = access.project(project)
        return services.add(access=access, project=where, new=new, at=timezone.now())
    except AppError as error:
        form.refuse(error)
        return None


@page("GET")
def host_detail(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    (row,) = queries.shown(where, [queries.named(where, name)])
    context = {
        "project": where,
        "row": row,
        "names": instances.names([row.running]),
        "host": row.host,
        "may_change": access.is_admin(where),
        "public_key": queries.public_key(where),
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "hosts/detail.html", context)


@page("POST")
def host_check(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    host = queries.named(access.project(project), name)
    services.check_again(access=access, host=host, at=timezone.now())
    return redirect("hosts:detail", host.project.name, host.name)


@page("POST")
def host_accept_key(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    host = queries.named(access.project(project), name)
    shown = request.POST.get("fingerprint", "")
    services.accept_key(access=access, host=host, fingerprint=shown, at=timezone.now())
    return redirect("hosts:detail", host.project.name, host.name)


@page("POST")
def host_remove(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    host = queries.named(access.project(project), name)
    services.remove(access=access, host=host, at=timezone.now())
    messages.success(request, f"{host.name} is being removed.", extra_tags="green")
    return redirect("hosts:detail", host.project.name, host.name)
