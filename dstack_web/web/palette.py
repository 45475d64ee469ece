"""The search over services, models, pages and actions: a page, and what the palette shows of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from apps.accounts import access as who
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.http.htmx import page
from apps.runs import queries as runs
from apps.runs.models import Run
from dstack_web.web import docs, frame, matching
from dstack_web.web.matching import Item

# The database gives so many; what fits best of them is shown.
MOST_ROWS = 200
MOST_RECENT = 12
SERVICE = re.compile(r"/projects/[^/]+/services/([a-z0-9-]{1,50})/")
# (text, other words for it, icon, route); the routes are of the project that one is in.
ACTIONS = (
    ("Deploy a service", "new create run launch publish", "rocket", "runs:deploy"),
    ("Create a token", "new key secret api", "key", "accounts:tokens"),
)
# What only an admin of the project may do.
ADMIN_ACTIONS = (
    ("Connect a backend", "new add cloud aws azure gcp credentials", "cloud", "backends:connect"),
    ("Add a host", "new ssh machine server gpu", "device-desktop", "hosts:add"),
    ("Add a member", "new invite user people", "users", "accounts:members"),
)


@page("GET")
def search(request: HttpRequest) -> HttpResponse:
    access = who.of(request)
    query = matching.plain(request.GET.get("q", ""))
    recent = request.GET.getlist("recent")[:MOST_RECENT]
    items = [
        *_services(access, request, query, recent),
        *_models(access, query),
        *_places(request),
    ]
    found = matching.best(query, items, recent=recent)
    is_part = bool(request.headers.get("HX-Request"))
    template = "palette/found.html" if is_part else "palette/search.html"
    return render(request, template, {"found": found, "query": query, "is_part": is_part})


def _services(
    access: Access, request: HttpRequest, query: str, recent: Sequence[str]
) -> Iterator[Item]:
    """Of all projects that one sees, those of the one that one is in first."""
    here = frame.current_project(request)
    columns = ("project__name", "name", "project")
    newest = _newest(_runs(access))
    rows = list(_fitting(newest, "name", query).values_list(*columns)[:MOST_ROWS])
    used = [found[1] for each in recent if (found := SERVICE.match(each))]
    if used and not query:
        rows += newest.filter(name__in=used).values_list(*columns)[:MOST_ROWS]
    names = list(dict.fromkeys(rows))
    names.sort(key=lambda row: here is None or row[2] != here.pk)
    for project, name, _ in names:
        href = reverse("runs:service", args=[project, name])
        yield Item("Service", name, href, "stack-2", note=project)


def _models(access: Access, query: str) -> Iterator[Item]:
    offered = _runs(access).filter(state__in=runs.ACTIVE_RUNS, model_withheld=False)
    offered = offered.exclude(spec__model=None)
    rows = _fitting(offered, "spec__model__name", query)
    columns = ("project__name", "spec__model__name", "pk")
    for project, model, pk in rows.values_list(*columns)[:MOST_ROWS]:
        href = f"{reverse('runs:models', args=[project])}#model-{pk}"
        yield Item("Model", model, href, "message-chatbot", note=project)


def _runs(access: Access) -> QuerySet[Run]:
    shown = Run.objects.filter(project__in=access.projects(), deleted_at=None)
    return shown.order_by("-id")


def _newest(rows: QuerySet[Run]) -> QuerySet[Run]:
    """The newest of each name, so that a service that was deployed often hides no other."""
    later = Run.objects.filter(
        project=OuterRef("project"), name=OuterRef("name"), pk__gt=OuterRef("pk"), deleted_at=None
    )
    return rows.filter(~Exists(later))


def _fitting(rows: QuerySet[Run], field: str, query: str) -> QuerySet[Run]:
    """Those that have the query's letters in their order, which is all that ever fits; what fits
    better comes first, since there may be more than are read."""
    letters = query.replace(" ", "")
    if not letters:
        return rows
    fits = rows.filter(**{f"{field}__iregex": ".*".join(map(re.escape, letters))})
    better = Case(
        When(**{f"{field}__istartswith": query}, then=Value(0)),
        When(**{f"{field}__icontains": query}, then=Value(1)),
        default=Value(2),
    )
    return fits.order_by(better, "-id")


def _places(request: HttpRequest) -> Iterator[Item]:
    around = frame.of(request)
    if around is None:
        return
    if around.project is not None:
        yield from _actions(around.project, is_admin=who.of(request).is_admin(around.project))
    for group in around.groups:
        for link in group:
            yield Item("Page", link.text, link.href, link.icon, note=_note(around.project))
    yield from _projects(around.projects)
    for doc in docs.every():
        parts = " ".join(text for _, text in doc.parts)
        yield Item("Docs", doc.title, reverse("doc", args=[doc.name]), "book-2", words=parts)
    yield Item("Action", "Change password", reverse("accounts:password"), "lock")


def _actions(project: Project, *, is_admin: bool) -> Iterator[Item]:
    for text, words, icon, route in (*ACTIONS, *(ADMIN_ACTIONS if is_admin else ())):
        href = reverse(route, args=[project.name])
        yield Item("Action", text, href, icon, note=project.name, words=words)


def _projects(projects: Sequence[Project]) -> Iterator[Item]:
    for project in projects:
        href = reverse("runs:list", args=[project.name])
        yield Item("Project", project.name, href, "folder")
    yield Item("Action", "New project", reverse("accounts:project_new"), "plus")


def _note(project: Project | None) -> str:
    return project.name if project is not None else ""
