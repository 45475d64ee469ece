"""Which backends a project has, and what to do where it has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import QuerySet

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.core.errors import NotFound

LOCAL = "local"


@dataclass(frozen=True)
class Missing:
    """What to say of a project without a backend, and whether who asks can open this machine."""

    text: str
    may_open: bool


def backends_of(project: Project) -> QuerySet[Backend]:
    """Return the project's backends that are open, by name."""
    return project.backends.filter(closed_at=None).order_by("name")


def named(project: Project, name: str) -> Backend:
    """Return the project's open backend of that name. Raise NotFound where there is none."""
    found = backends_of(project).filter(name=name).first() if name.isprintable() else None
    if found is None:
        raise NotFound(f"Project {project.name} has no backend {name[:32]!r}.")
    return found


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
    if not keeps_an_agent():
        return f"{problem} This server has no machine of its own to open for it."
    return (
        f"{problem} An admin of this server can open the server's own machine for it: on the "
        f"project's page Backends, or with `dstack backend connect local --project {project}`."
    )
