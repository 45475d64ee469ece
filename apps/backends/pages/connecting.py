"""Connecting a backend, changing how it is connected, and looking at a check. No cloud is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.accounts.models import Project
from apps.backends import queries, way_home
from apps.backends.connecting import checks, config_form, requests, roles, rows
from apps.backends.connecting.config_form import Given
from apps.backends.models import Backend, Check
from apps.backends.pages.places import Place, place_of
from apps.backends.registry import PROVIDERS
from apps.core.errors import AppError, Conflict, Detail, Invalid
from apps.core.http.htmx import page, render_page
from apps.specs import plain
from apps.specs.errors import SpecError

LABELS = {"aws": "AWS", "azure": "Azure", "gcp": "Google Cloud", "tensordock": "TensorDock"}
MOST_BYTES = 2**20
TOO_LARGE = "The configuration is larger than 1 MB."
ALL = "all"


@dataclass(frozen=True)
class Form:
    """What the page of a form shows; `message` is what was wrong with it when it was sent."""

    kind: str
    given: Given = field(default_factory=Given)
    message: str = ""
    unplaced: Sequence[str] = ()


@page("GET", "POST")
def connect(request: HttpRequest, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    clouds = [kind for kind in sorted(PROVIDERS) if kind not in queries.KEPT]
    kind = request.POST.get("kind") or request.GET.get("kind") or clouds[0]
    rows.require_kind(kind)
    roles.require_connector(place.access, place.project, kind)
    if kind in queries.KEPT:
        return redirect(place.list_url)

    def send(config: dict[str, Any]) -> Check | Backend:
        for_all, shares = _projects(request)
        new = requests.NewBackend(
            kind=kind,
            name=request.POST.get("name", "").strip(),
            config=config,
            project=place.project,
            for_all=for_all,
            shares=shares,
        )
        return requests.connect(access=place.access, new=new, check="no_check" not in request.POST)

    before = place.check_before(request.GET.get("check", ""), kind=kind)
    context: dict[str, Any] = {"is_shared": place.project is None}
    context |= {"clouds": [(each, LABELS.get(each, each)) for each in clouds]}
    if before is not None:
        shares = Project.objects.filter(pk__in=before.shares)
        context |= {"name": before.name, "projects": _listed(shares, for_all=before.for_all)}
    return _form_page(request, place, Form(kind, _typed_before(before)), send, context)


@page("GET", "POST")
def change(request: HttpRequest, name: str, project: str | None = None) -> HttpResponse:
    place = place_of(request, project)
    backend = place.backend(name)
    roles.require_manager(place.access, backend)
    if backend.kind in queries.KEPT:
        raise Invalid(f"The backend {backend.kind} takes no configuration.")

    def send(config: dict[str, Any]) -> Check | Backend:
        for_all, names = _projects(request)
        is_said = backend.project is None and "projects" in request.POST
        changes = requests.Changes(config, None, for_all, names if is_said else None)
        check = "no_check" not in request.POST
        return requests.change(access=place.access, backend=backend, changes=changes, check=check)

    before = place.check_before(request.GET.get("check", ""), kind=backend.kind)
    before = before if before and before.backend_id == backend.pk else None
    given = _typed_before(before)
    if not given.values:
        given = Given(config_form.stored(rows.shown(backend)))
    context: dict[str, Any] = {"backend": backend, "is_shared": backend.project is None}
    if backend.project is None:
        also = rows.Also.of_json(before.also if before else {})
        context["projects"] = _shared_with(backend)
        if also.shares is not None:
            shares = Project.objects.filter(pk__in=also.shares)
            context["projects"] = _listed(shares, for_all=also.for_all)
    return _form_page(request, place, Form(backend.kind, given), send, context)


@page("GET")
def check(request: HttpRequest, check: UUID, project: str | None = None) -> HttpResponse:
    """Show a check, again and again until it is over."""
    place = place_of(request, project)
    found = place.check(check)
    roles.require_connector(place.access, place.project, found.kind)
    backend = found.backend if found.backend and found.backend.closed_at is None else None
    context = {
        "place": place,
        "project": place.project,
        "check": found,
        "backend_url": place.url("detail", backend.name) if backend else "",
        "again_url": place.url("backend_config", backend.name, check=str(found.pk))
        if backend
        else place.url("connect", kind=found.kind, name=found.name, check=str(found.pk)),
    }
    return render_page(request, "backends/check.html", context)


def _form_page(
    request: HttpRequest,
    place: Place,
    form: Form,
    send: Callable[[dict[str, Any]], Check | Backend],
    context: dict[str, Any],
) -> HttpResponse:
    """Show the form, or do what was sent; what is wrong is said where it is."""
    if request.method == "POST":
        try:
            made = send(_config(request, form.kind))
        except (Invalid, Conflict) as error:
            form = _refused(request, form, error)
        else:
            page = "check" if isinstance(made, Check) else "detail"
            return redirect(place.url(page, made.pk if isinstance(made, Check) else made.name))
    context |= {
        "place": place,
        "project": place.project,
        "form": form,
        "label": LABELS.get(form.kind, form.kind),
        "fields": config_form.draw(
            PROVIDERS[form.kind].Config, form.given, may_keep="backend" in context
        ),
        "name": request.POST.get("name") or context.get("name") or request.GET.get("name", "")[:32],
        "no_check": "no_check" in request.POST,
        "projects": request.POST.get("projects", context.get("projects", "")),
        "policy": requests.policy_of(form.kind),
        "remark": PROVIDERS[form.kind].remark,
        "unreachable": way_home.missing(),
    }
    return render_page(
        request, "backends/connect.html", context, status=422 if form.message else 200
    )


def _projects(request: HttpRequest) -> tuple[bool, list[str]]:
    """Return whether a backend of the server is for all projects, else the names of those."""
    names = request.POST.get("projects", "").replace(",", " ").split()
    return ALL in names, [name for name in names if name != ALL]


def _typed_before(check: Check | None) -> Given:
    return Given(checks.typed(check), is_again=True) if check else Given()


def _shared_with(backend: Backend) -> str:
    return _listed(backend.shared_with.all(), for_all=backend.for_all)


def _listed(projects: QuerySet[Project], *, for_all: bool) -> str:
    names = projects.filter(deleted_at=None).order_by("name")
    return ALL if for_all else ", ".join(names.values_list("name", flat=True))


def _config(request: HttpRequest, kind: str) -> dict[str, Any]:
    """Return what was sent: a file, a text, or the fields. Raise Invalid."""
    data = _text_of(request)
    if data is None:
        sent = {key: str(value) for key, value in request.POST.items()}
        return config_form.read(PROVIDERS[kind].Config, sent)
    if len(data) > MOST_BYTES:
        raise Invalid(TOO_LARGE, details=[Detail("text", TOO_LARGE)])
    try:
        return plain.mapping(data)
    except SpecError as error:
        raise Invalid(
            f"The configuration {error}.", details=[Detail("text", str(error))]
        ) from error


def _text_of(request: HttpRequest) -> bytes | None:
    """Return the file or the text that was sent, None where the fields are what counts."""
    if (file := request.FILES.get("file")) is not None:
        file.seek(0)
        data: bytes = file.read(MOST_BYTES + 1)
        return data
    text = request.POST.get("text", "")
    return text.encode(errors="replace") if text.strip() else None


def _refused(request: HttpRequest, form: Form, error: AppError) -> Form:
    """The form again, without secrets: a page is no place to keep one."""
    problems = {each.path: each.message for each in error.details}
    values = {key: str(value) for key, value in request.POST.items()}
    if "text" not in problems and (text := _text_of(request)) is not None:
        values |= config_form.typed(PROVIDERS[form.kind].Config, plain.mapping(text))
    return Form(form.kind, Given(values, problems, is_again=True), error.message)
