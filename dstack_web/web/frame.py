"""What stands around every page: who is signed in, their projects, and where one can go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from apps.accounts import access as who
from apps.accounts import services
from apps.accounts.models import Project, User
from apps.runs.models import Run
from apps.runs.queries import ACTIVE_RUNS

SESSION_KEY = "project"

# (beginnings of the names of pages that stand below it, its own name, icon, text)
PROJECT_PAGES: tuple[tuple[str | tuple[str, ...], str, str, str], ...] = (
    ("overview", "overview", "layout-dashboard", "Overview"),
    ("runs:service", "runs:list", "stack-2", "Services"),
    (("runs:models", "routing:playground"), "runs:models", "message-chatbot", "Models"),
    ("runs:uploads", "runs:uploads", "folder-up", "Uploads"),
    ("gateways:", "gateways:list", "world", "Gateways"),
    ("backends:", "backends:list", "cloud", "Backends"),
    ("hosts:", "hosts:list", "device-desktop", "Hosts"),
    ("instances:", "instances:list", "server-2", "Instances"),
    ("offers:", "offers:list", "tags", "Offers"),
    ("costs:", "costs:spend", "coins", "Spend"),
)
PEOPLE_PAGES = (
    ("accounts:token", "accounts:tokens", "key", "Tokens"),
    ("accounts:member", "accounts:members", "users", "Members"),
    ("accounts:project_", "accounts:project_settings", "settings", "Settings"),
)


@dataclass(frozen=True)
class Link:
    href: str
    icon: str
    text: str
    is_here: bool


@dataclass(frozen=True)
class Frame:
    """`project` is the one in the address, else that used last, else that deployed in."""

    projects: Sequence[Project]
    project: Project | None
    groups: Sequence[Sequence[Link]]


def frame(request: HttpRequest) -> dict[str, object]:
    """Give templates `frame`; a page that does not use it pays nothing."""
    return {"frame": SimpleLazyObject(lambda: of(request))}


def current_project(request: HttpRequest) -> Project | None:
    """Return the project to show to a person who named none."""
    return _current(request, list(who.of(request).projects()))


def of(request: HttpRequest) -> Frame | None:
    if not isinstance(getattr(request, "user", None), User):
        return None
    access = who.of(request)
    projects = list(access.projects())
    project = _current(request, projects)
    here = request.resolver_match.view_name if request.resolver_match else ""
    groups = []
    if project is not None:
        groups.append([_link(page, here, project) for page in PROJECT_PAGES])
        groups.append([_link(page, here, project) for page in PEOPLE_PAGES])
    server = [Link(reverse("docs"), "book-2", "Docs", here in ("docs", "doc"))]
    if access.is_global_admin:
        shared = reverse("backends:server_list")
        is_shared = here.startswith("backends:server_")
        server.insert(0, Link(shared, "cloud-share", "Shared backends", is_shared))
        users = reverse("accounts:users")
        server.insert(0, Link(users, "user-shield", "Users", here.startswith("accounts:user")))
    return Frame(projects, project, [*groups, server])


def _link(page: tuple[str | tuple[str, ...], str, str, str], here: str, project: Project) -> Link:
    prefix, name, icon, text = page
    is_here = here == name or (here.startswith(prefix) and ":server_" not in here)
    return Link(reverse(name, args=[project.name]), icon, text, is_here)


def _current(request: HttpRequest, projects: Sequence[Project]) -> Project | None:
    by_name = {project.name: project for project in projects}
    match = request.resolver_match
    named = by_name.get(match.kwargs.get("project", "")) if match else None
    if named is not None:
        _remember(request, named)
    looked_at = named or by_name.get(request.session.get(SESSION_KEY, ""))
    return looked_at or _of_a_new_session(request, projects)


def _remember(request: HttpRequest, project: Project) -> None:
    """In the session, since each of a person's browsers goes on where it was, and for the next."""
    if request.session.get(SESSION_KEY) != project.name:
        request.session[SESSION_KEY] = project.name
    services.remember_project(user=who.of(request).user, project=project)


def _of_a_new_session(request: HttpRequest, projects: Sequence[Project]) -> Project | None:
    """The project that one used last, else in which one deployed last, else that in which somebody
    did, with services that run first; else the first."""
    if len(projects) < 2:
        return next(iter(projects), None)
    by_id = {project.pk: project for project in projects}
    # One that was left or deleted is none of these.
    if used := by_id.get(who.of(request).user.last_project_id or 0):
        return used
    runs = Run.objects.filter(project__in=by_id, deleted_at=None).order_by("-id")
    for found in (runs.filter(user=request.user.pk), runs.filter(state__in=ACTIVE_RUNS), runs):
        project_id = found.values_list("project", flat=True).first()
        if project_id is not None:
            return by_id[project_id]
    return projects[0]
