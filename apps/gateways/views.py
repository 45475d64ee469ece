"""Certificates of a project's gateways."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import access as who
from apps.core.errors import AppError
from apps.core.http.htmx import page, render_page
from apps.gateways import certificates, queries, seen, states
from apps.gateways.forms import CertificateForm
from apps.gateways.models import Gateway


@page("GET", "POST")
def certificate_list(request: HttpRequest, project: str, name: str) -> HttpResponse:
    """How it stands with each host; a POST brings a certificate."""
    access = who.of(request)
    where = access.project(project)
    gateway = queries.named(where, name)
    form = CertificateForm(request.POST or None)
    if request.method == "POST":
        queries.require_manage(access, where, gateway)
        if _bring(gateway, form, access.actor):
            messages.success(
                request,
                "The certificate is stored; its gateway takes it within seconds.",
                extra_tags="green",
            )
            return redirect("gateways:certificates", where.name, gateway.name)
    found = seen.of(access, where, gateway)
    context = {
        "project": where,
        "gateway": gateway,
        "hosts": _hosts(found),
        "certificates": found.certificates,
        "may_change": queries.may_manage(access, where, gateway),
        "form": form,
        "now": timezone.now(),
    }
    status = 422 if form.errors else 200
    return render_page(request, "gateways/certificates.html", context, status=status)


def _bring(gateway: Gateway, form: CertificateForm, actor: str) -> bool:
    if not form.is_valid():
        return False
    try:
        certificates.bring(gateway=gateway, **form.cleaned_data, actor=actor, at=timezone.now())
    except AppError as error:
        form.refuse(error)
        return False
    return True


def _hosts(found: seen.Seen) -> list[dict[str, Any]]:
    """What the gateway reports, what needs a look first."""
    order = {states.FAILED: 0, states.PENDING: 1, states.VALID: 2}
    hosts = [
        {
            **each,
            "look": states.certificate_look(each["state"], error=each["error"]),
            "until": datetime.fromtimestamp(each["expires_at"] or 0, UTC),
        }
        for each in found.hosts
    ]
    return sorted(hosts, key=lambda each: (order.get(each["state"], 0), each["host"]))


@page("POST")
def certificate_remove(request: HttpRequest, project: str, name: str, pk: int) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    gateway = queries.named(where, name)
    queries.require_manage(access, where, gateway)
    certificates.remove(gateway=gateway, pk=pk)
    messages.success(request, "The certificate is removed.", extra_tags="green")
    return redirect("gateways:certificates", where.name, gateway.name)
