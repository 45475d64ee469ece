"""The Settings tab of a service: one section saved at a time."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts import access as who
from apps.core.errors import AppError, Conflict, NotFound
from apps.core.http.htmx import page, redirect
from apps.runs import queries
from apps.runs.models import Run
from apps.runs.settings import saving
from apps.runs.settings.forms import FORMS
from apps.runs.settings.section import SectionForm
from apps.runs.settings.tab import Section
from apps.runs.views.service import settings_again


@page("POST")
def save(request: HttpRequest, project: str, name: str, section: str) -> HttpResponse:
    access = who.of(request)
    run = queries.find_run(access.project(project), name)
    if section not in FORMS:
        raise NotFound("There is no such section.")
    form = FORMS[section](run.spec, request.POST)
    try:
        return _saved(request, access, run, form)
    except AppError as error:
        form.refuse(error)
        if isinstance(error, Conflict):
            form.compare_with_now()
        return settings_again(request, access, run, Section(form), status=error.status)


def _saved(request: HttpRequest, access: who.Access, run: Run, form: SectionForm) -> HttpResponse:
    if not form.is_valid():
        return settings_again(request, access, run, Section(form), status=422)
    saving.require_same(run, request.POST.get("seen", ""))
    proposal = saving.propose(access=access, run=run, changes=form.changes())
    if proposal.doubts and request.POST.get("confirmed") != proposal.digest:
        return settings_again(request, access, run, Section(form, proposal))
    before, run = run.version, saving.save(access=access, run=run, proposal=proposal)
    said = f"{form.title}: saved as version {run.version}."
    if run.version == before:
        said = f"{form.title}: nothing changed."
    messages.success(request, said, extra_tags="green")
    back = reverse("runs:service_settings", args=[run.project.name, run.name])
    return redirect(request, f"{back}#{form.key}")
