"""The Deploy page: text on one side, what will happen on the other.

The right side is one partial, rendered again whenever the text or a value changes. Without
JavaScript the same form has a Preview button, and the whole page is rendered again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from apps.accounts import access as who
from apps.accounts.models import Project
from apps.backends import queries as backends
from apps.core.archive.ignore import FILES, FOLDERS, in_words
from apps.core.errors import AppError, Conflict, Detail, Invalid
from apps.core.http.htmx import page, redirect, render_page
from apps.runs import queries, services
from apps.runs.files import packing, uploads
from apps.runs.models import Upload
from apps.runs.pages.forms import DeployForm, passed_env, typed
from apps.runs.planning import kept_values
from apps.runs.planning.diff import NONE, UPDATE
from apps.runs.planning.request import PlanRequest, placed, read, spec_of
from apps.runs.scale import manual_scale
from apps.runs.services import Plan
from apps.runs.starters import EMPTY, STARTERS, find
from apps.specs import parse
from apps.specs.errors import SpecError

SHOWN_OFFERS = 10
MOST_SKIPPED = 10_000
HOURS_A_MONTH = 730


@dataclass(frozen=True)
class OpenValue:
    """A variable without a value in the file. What the service keeps of it is never shown."""

    name: str
    typed: str
    is_kept: bool


@dataclass
class Preview:
    """What the right side shows: a plan, or the problems; and the values that are asked for."""

    plan: Plan | None = None
    problem: str = ""
    details: list[Detail] = field(default_factory=list)
    missing: list[OpenValue] = field(default_factory=list)

    @property
    def unanswered(self) -> list[str]:
        return [one.name for one in self.missing if not (one.typed or one.is_kept)]

    @property
    def marks(self) -> list[dict[str, Any]]:
        """The problems as the editor marks them."""
        return [
            {"line": d.line, "column": d.column, "message": _words(d)}
            for d in self.details
            if d.line is not None
        ]


def _words(detail: Detail) -> str:
    return f"{detail.path}: {detail.message}" if detail.path else detail.message


@page("GET", "POST")
def deploy(request: HttpRequest, project: str) -> HttpResponse:
    access = who.of(request)
    where = access.project(project)
    if request.method != "POST":
        initial, asked = _begun(request, where)
        return _show(request, access, where, DeployForm(initial=initial), asked)
    form = DeployForm(request.POST, request.FILES)
    try:
        asked, upload = _asked(request, where, form)
    except AppError as error:
        if request.headers.get("HX-Request"):
            # The page keeps what was typed by itself: a toast says what is wrong.
            raise
        return _refused(request, access, where, form, typed(request.POST.dict()), error)
    action = request.POST.get("action")
    if action in ("deploy", "redeploy"):
        asked = replace(asked, force=action == "redeploy")
        return _submit(request, access, where, form, asked)
    return _show(request, access, where, form, asked, upload)


@page("POST")
def upload_files(request: HttpRequest, project: str) -> HttpResponse:
    """Take the files of the working folder; answers with the part of the form that names them."""
    where = who.of(request).project(project)
    sent = request.FILES.get("archive")
    if sent is None or sent.file is None:
        raise Invalid("Choose a folder or an archive first.")
    with packing.packed(archive=sent.file) as packed:
        upload = uploads.save(project=where, chunks=packed.chunks())
    # The page sends only names of the list that it was given, and never what they hold.
    skipped = request.POST.get("left_out", "").splitlines()[:MOST_SKIPPED]
    left_out = in_words([*packed.left_out, *(path for path in skipped if path.isprintable())])
    context = {
        "project": where,
        "upload": upload,
        "packed": packed,
        "left_out": ", ".join(left_out),
    }
    return render(request, "runs/deploy.html#files", context)


def _begun(request: HttpRequest, project: Project) -> tuple[dict[str, str], PlanRequest]:
    """The form to start from, of a service, a template or the smallest that runs; what it asks."""
    service = request.GET.get("service")
    if not service:
        starter = find(request.GET.get("template", ""))
        text = starter.text if starter else EMPTY
        return {"configuration": text}, PlanRequest(configuration=text)
    run = queries.find_run(project, service)
    text, upload = manual_scale.text_of(run), run.upload.hash if run.upload else None
    initial = {"configuration": text, "draft": run.name, "service": run.name}
    initial["upload"] = upload or ""
    return initial, PlanRequest(configuration=text, upload=upload)


def _asked(
    request: HttpRequest, project: Project, form: DeployForm
) -> tuple[PlanRequest, Upload | None]:
    if not form.is_valid():
        raise Invalid("; ".join(f"{k}: {v[0]}" for k, v in form.errors.items()))
    data, upload = form.cleaned_data, None
    if data["yaml_file"]:
        data["configuration"] = _text(data["yaml_file"].read())
        form.data = {**request.POST.dict(), "configuration": data["configuration"]}
    if data["archive"]:
        with packing.packed(archive=data["archive"].file) as packed:
            upload = uploads.save(project=project, chunks=packed.chunks())
        form.data = {**form.data, "left_out": ", ".join(in_words(packed.left_out))}
    elif data["upload"]:
        upload = uploads.find(project=project, digest=data["upload"])
    digest = upload.hash if upload else None
    return form.plan_request(env=passed_env(request.POST.dict()), upload=digest), upload


def _text(content: bytes) -> str:
    try:
        return parse.decode(content)
    except SpecError as error:
        raise Invalid(str(error)) from error


def _show(
    request: HttpRequest,
    access: who.Access,
    project: Project,
    form: DeployForm,
    asked: PlanRequest,
    upload: Upload | None = None,
) -> HttpResponse:
    if upload is None and form["upload"].value():
        upload = uploads.find(project=project, digest=form["upload"].value())
    preview = preview_of(access, project, asked, draft=form["draft"].value() or "")
    context = _context(access, project, form, preview, upload)
    return render_page(request, "runs/deploy.html", context)


def _refused(
    request: HttpRequest,
    access: who.Access,
    project: Project,
    form: DeployForm,
    asked: PlanRequest,
    error: AppError,
) -> HttpResponse:
    """The form again with all that was typed and sent, and why nothing came of it."""
    preview = preview_of(access, project, asked, draft=form["draft"].value() or "")
    if preview.problem in ("", error.message):
        preview.problem, preview.details = error.message, error.details
    else:
        others = preview.details or [Detail("", preview.problem)]
        preview.details = [Detail("", error.message), *others]
    context = _context(access, project, form, preview, _kept(project, asked, form))
    return render_page(request, "runs/deploy.html", context, status=error.status)


def _kept(project: Project, asked: PlanRequest, form: DeployForm) -> Upload | None:
    """The files that were sent before or just now; none where they are not the project's."""
    if "upload" in form.errors:
        return None
    try:
        digest = asked.upload or form["upload"].value()
        return uploads.find(project=project, digest=digest) if digest else None
    except AppError:
        return None


def _submit(
    request: HttpRequest,
    access: who.Access,
    project: Project,
    form: DeployForm,
    asked: PlanRequest,
) -> HttpResponse:
    plan_id = request.POST.get("plan_id") or None
    try:
        asked = read(asked)
    except AppError as error:
        # There is no plan beside these problems, and no need to read the text again.
        preview = Preview(problem=error.message, details=error.details)
        context = _context(access, project, form, preview, _kept(project, asked, form))
        return render_page(request, "runs/deploy.html", context, status=error.status)
    try:
        # A name in the file wins over the plan's: text that changed since is a conflict.
        spec = spec_of(asked)
        kept = kept_values.of(project, spec.name or form["draft"].value() or "")
        named = replace(asked, name=spec.name, env=kept_values.filled(spec, asked.env, kept))
        if plan_id is None:
            _require_new(project, spec.name, form)
        run = services.submit(access=access, project=project, request=named, plan_id=plan_id)
    except AppError as error:
        return _refused(request, access, project, form, asked, error)
    first = run.version == 1
    said = f"{run.name} is accepted." if first else f"{run.name} is at version {run.version}."
    messages.success(request, said, extra_tags="green")
    return redirect(request, reverse("runs:service", args=[project.name, run.name]))


def _require_new(project: Project, name: str | None, form: DeployForm) -> None:
    """Who has seen no plan did not mean to update a service that happens to have the name."""
    taken = name and name != form["service"].value() and queries.active_run(project, name)
    if taken:
        raise Conflict(f"{name} exists: update it, or choose another name.")


def preview_of(
    access: who.Access, project: Project, asked: PlanRequest, *, draft: str = ""
) -> Preview:
    """Plan without submitting; values that miss are asked for, not an error."""
    preview = Preview()
    try:
        asked = read(asked)
        spec = spec_of(asked)
        names = parse.missing_env(spec)
        kept = kept_values.of(project, spec.name or draft) if names else {}
        preview.missing = [OpenValue(one, asked.env.get(one, ""), one in kept) for one in names]
        filled = replace(
            asked,
            name=None if spec.name else draft or None,
            env=dict.fromkeys(names, "") | kept_values.filled(spec, asked.env, kept),
        )
        preview.plan = services.plan(access=access, project=project, request=filled)
    except AppError as error:
        preview.problem = error.message
        preview.details = (
            placed(error.details, asked.configuration) if asked.file else error.details
        )
    return preview


def _context(
    access: who.Access,
    project: Project,
    form: DeployForm,
    preview: Preview,
    upload: Upload | None,
) -> dict[str, Any]:
    plan = preview.plan
    exists = plan is not None and plan.current is not None
    taken = plan.name if plan and exists and plan.name != form["service"].value() else ""
    first = plan.offers[0] if plan and plan.offers else None
    replicas = plan.spec.replicas if plan else None
    price = first.price_usd_per_hour * (replicas.min or 0) if first and replicas else None
    return {
        "project": project,
        "form": form,
        "service": plan.name if plan and plan.action in (UPDATE, NONE) and not taken else "",
        "taken": taken,
        "starters": STARTERS,
        "preview": preview,
        "upload": upload,
        "missing": backends.missing(access, project),
        "marks": json.dumps(preview.marks),
        "plan": plan,
        "first": first,
        "offers": plan.offers[:SHOWN_OFFERS] if plan else [],
        "price": price,
        "left_out": form["left_out"].value() or "",
        "names_left_out": json.dumps({"folders": FOLDERS, "files": FILES}),
        "price_a_month": price * HOURS_A_MONTH if price is not None else None,
    }
