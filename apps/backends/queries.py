"""Which backends a project has, and what to do where it has none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Q, QuerySet, Sum

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import way_home
from apps.backends.faults import unheard
from apps.backends.models import Backend, Check
from apps.core.errors import NotFound

LOCAL, SSH = "local", "ssh"
# Kinds whose configuration is the server's own to know and to change: they are no clouds.
KEPT = (LOCAL, SSH)
# The states of a machine that is gone: instances are a later stage.
OVER = ("terminated", "failed")
MOST_ERRORS = 5
MOST_REFS = 20


@dataclass(frozen=True)
class Missing:
    """What to say of a project without a backend, and whether who asks can open this machine."""

    text: str
    may_open: bool


def backends_of(project: Project) -> QuerySet[Backend]:
    """Return the backends that the project sees, by name: its own, and those of the server that
    are shared with it. A name is its own one's before it is one of the server's."""
    own = Backend.objects.filter(project=project, closed_at=None)
    shared = Backend.shared_with.through.objects.filter(project_id=project.pk)
    of_server = Q(for_all=True) | Q(pk__in=shared.values("backend_id"))
    named_otherwise = ~Q(name__in=own.values("name"))
    seen = Q(project=project) | Q(of_server, named_otherwise, project=None)
    return Backend.objects.filter(seen, closed_at=None).order_by("name")


def usable_by(project: Project) -> QuerySet[Backend]:
    """Return those of them on which something new may be placed."""
    return backends_of(project).filter(disabled_at=None)


def backends_of_server() -> QuerySet[Backend]:
    """Return the server's own backends, by name."""
    return Backend.objects.filter(project=None, closed_at=None).order_by("name")


def seen_beside(project: Project | None, shares: Sequence[int] = ()) -> QuerySet[Backend]:
    """Return the backends among which one of the project, or one of the server that is shared with
    these projects, has a name of its own."""
    if project is not None:
        return backends_of(project)
    return Backend.objects.filter(Q(project=None) | Q(project__in=shares), closed_at=None)


def named(project: Project, name: str) -> Backend:
    """Return the open backend of that name that the project sees. Raise NotFound."""
    return _named(backends_of(project), name, f"Project {project.name} has")


def named_of_server(name: str) -> Backend:
    """Return the server's own open backend of that name. Raise NotFound."""
    return _named(backends_of_server(), name, "This server has")


def _named(rows: QuerySet[Backend], name: str, has: str) -> Backend:
    found = rows.filter(name=name).first() if name.isprintable() else None
    if found is None:
        raise NotFound(f"{has} no backend {name[:32]!r}.")
    return found


def live_instances(backend: Backend, project: Project | None = None) -> QuerySet[Any]:
    """Return the machines of a backend that are not over, of all projects or of one."""
    rows: Any = backend
    live: QuerySet[Any] = rows.instances.exclude(state__in=OVER)
    return live if project is None else live.filter(project=project)


def has_gateways(backend: Backend) -> bool:
    """Tell whether a gateway has its address or its machine there; gateways are a later stage."""
    rows: Any = backend
    return bool(rows.gateways.exists())


def living_refs(backend: Backend) -> list[str]:
    """Return what its provider calls some of its machines that are not over."""
    made = live_instances(backend).exclude(ref="").order_by("-pk")
    return list(made.values_list("ref", flat=True)[:MOST_REFS])


@dataclass(frozen=True)
class Live:
    """The machines of a backend that live now, and what they cost together."""

    count: int
    usd_per_hour: Decimal


def live(backend: Backend, project: Project | None = None) -> Live:
    """Count a backend's machines; of one of the server, those of one project."""
    of_project = None if backend.project_id else project
    found = live_instances(backend, of_project).aggregate(
        count=Count("pk"), cost=Sum("price_usd_per_hour")
    )
    return Live(found["count"], found["cost"] or Decimal(0))


def last_errors(backend: Backend, project: Project | None = None) -> Sequence[Any]:
    """Return the machines of a backend that last said why they failed, newest first."""
    rows: Any = backend
    told = rows.instances.exclude(error="")
    if project is not None and not backend.project_id:
        told = told.filter(project=project)
    return list(told.order_by("-state_at")[:MOST_ERRORS])


def last_check(backend: Backend) -> Check | None:
    """Return the check of the backend that was asked for last."""
    return backend.checks.order_by("-pk").first()


def state_of(backend: Backend) -> str:
    if backend.ending_at is not None:
        return "deleting"
    return "enabled" if backend.disabled_at is None else "disabled"


def notes(backend: Backend) -> list[str]:
    """Say what keeps machines of a backend from being of use, whatever its cloud says."""
    if backend.kind in KEPT:
        return []
    return [why for why in (way_home.missing(), unheard.why(backend)) if why]


def boot_file() -> Path:
    """Return where this machine's agent finds its configuration."""
    return Path(settings.SERVER_DIR) / "agent" / "config.json"


def keeps_an_agent() -> bool:
    """Tell whether this machine is one to run services on: a supervisor keeps an agent here."""
    return boot_file().parent.is_dir()


def missing(access: Access, project: Project) -> Missing | None:
    """Return what to say where the project has no backend, None where it has one."""
    if backends_of(project).exists():
        return None
    return Missing(why_missing(project.name), access.is_global_admin and keeps_an_agent())


def why_missing(project: str) -> str:
    """Say that a project has no backend, and who can do what about it."""
    problem = f"Project {project} has no backend yet, so no service can run in it."
    cloud = (
        "An admin of the project can connect a cloud on its page Backends, or with "
        f"`dstack backend connect aws --project {project}`."
    )
    if not keeps_an_agent():
        return f"{problem} This server has no machine of its own to open for it. {cloud}"
    return (
        f"{problem} An admin of this server can open the server's own machine for it: on the "
        f"project's page Backends, or with `dstack backend connect local --project {project}`. "
        f"{cloud}"
    )


def why_none_usable(project: Project) -> str:
    """Say why nothing can be placed in a project: it has no backend, or all are disabled."""
    names = list(backends_of(project).values_list("name", flat=True)[:3])
    if not names:
        return why_missing(project.name)
    return (
        f"All backends of project {project.name} are disabled ({', '.join(names)}): an admin can "
        f"enable one on the page Backends, or with `dstack backend enable {names[0]}`."
    )
