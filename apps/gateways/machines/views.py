"""The list of a project's gateways, where one is created, and a page for each."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from apps.accounts import access as who
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import AppError
from apps.core.http.htmx import live_url, page, redirect, render_page
from apps.gateways import queries, seen, states
from apps.gateways.machines import showing, verbs, workload
from apps.gateways.machines.forms import DomainForm, GatewayForm
from apps.gateways.models import Gateway, Publication


@page("GET", "POST")
def gateway_list(request: HttpRequest, project: str) -> HttpResponse:
    """All gateways; a POST creates one."""
    access = who.of(request)
    where = access.project(project)
    form = GatewayForm(where, request.POST or None) if access.is_admin(where) else None
    if request.method == "POST":
        access.require_admin(where)
        assert form is not None
        if made := _create(access, where, form):
            return redirect(request, reverse("gateways:gateway", args=[where.name, made.name]))
    found = queries.gateways_of(where).select_related("project")
    context = {
        "project": where,
        "publications": [(each, seen.of(access, where, each.gateway)) for each in found],
        "form": form,
        "live_url": live_url(project=where.name),
    }
    status = 422 if form is not None and form.errors else 200
    return render_page(request, "gateways/list.html", context, status=status)


def _create(access: Access, project: Project, form: GatewayForm) -> Gateway | None:
    if not form.is_valid():
        return None
    try:
        wanted = verbs.Wanted(**form.wanted())
        return verbs.create(access=access, project=project, wanted=wanted, at=timezone.now())
    except AppError as error:
        form.refuse(error)
        return None


@page("GET")
def gateway_page(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    found = showing.publication_of(access, project, name)
    gateway, where = found.gateway, found.project
    on_machine = gateway.connection_id is not None
    shown = seen.of(access, where, gateway)
    context = {
        "project": where,
        "publication": found,
        "gateway": gateway,
        "seen": shown,
        "error": showing.error_of(access, found),
        "record": showing.record_of(gateway),
        "dns_backends": verbs.dns_backends(where),
        "runs": showing.runs_on(found),
        "events": showing.events_of(gateway),
        "machine": showing.machine_of(access, found),
        "tunnels": showing.tunnels_to(gateway),
        "certificates": showing.Certificates.of(shown),
        "step": showing.step_of(access, found),
        "is_current": workload.is_current(gateway),
        "on_machine": on_machine,
        "on_host": showing.is_on_host(gateway),
        "is_serving": gateway.state == states.RUNNING,
        "may_change": queries.may_manage(access, where, gateway),
        "may_choose": access.is_admin(where),
        "form": DomainForm(initial={"domain": gateway.domain}),
        "live_url": live_url(project=where.name),
    }
    return render_page(request, "gateways/gateway.html", context)


@page("POST")
def change(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Give it another domain, or make it the default."""
    access = who.of(request)
    found = showing.publication_of(access, project, name)
    verbs.update(
        access=access,
        publication=found,
        domain=request.POST.get("domain"),
        default=True if request.POST.get("default") else None,
        dns=request.POST.get("dns"),
    )
    messages.success(request, f"Gateway {name} is changed.", extra_tags="green")
    return _back(request, found)


@page("POST")
def delete(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    found = showing.publication_of(access, project, name)
    verbs.delete(access=access, publication=found, at=timezone.now())
    messages.success(request, f"Gateway {name} is being deleted.", extra_tags="green")
    return _back(request, found)


@page("POST")
def upgrade(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """Bring it to this server's version now."""
    found = showing.publication_of(who.of(request), project, name)
    verbs.upgrade(access=who.of(request), publication=found)
    messages.success(request, f"Gateway {name} is being upgraded.", extra_tags="green")
    return _back(request, found)


@page("POST")
def retry(request: HttpRequest, project: str, name: str) -> HttpResponse:
    access = who.of(request)
    found = showing.publication_of(access, project, name)
    verbs.retry(access=access, publication=found, at=timezone.now())
    return _back(request, found)


def _back(request: HttpRequest, found: Publication) -> HttpResponse:
    return redirect(
        request, reverse("gateways:gateway", args=[found.project.name, found.gateway.name])
    )
