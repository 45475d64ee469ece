"""Who may connect, change and end which backend."""

from __future__ import annotations

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries
from apps.backends.base import Config
from apps.backends.models import Backend
from apps.core.errors import Forbidden

THIS_MACHINE = (
    "Only an admin of this server may open or close its own machine for a project: ask one of them."
)
SERVER_WIDE = "Only an admin of this server may connect or change backends of the whole server."
OF_SERVER = (
    "Credentials of this type are those of the server itself: only an admin of this server may "
    "connect with them. Use an access key of your own account, or ask one of them."
)


def may_manage(access: Access, backend: Backend) -> bool:
    if backend.kind == queries.LOCAL or backend.project is None:
        return access.is_global_admin
    return access.is_admin(backend.project)


def require_manager(access: Access, backend: Backend) -> None:
    """Raise Forbidden for who may not change this backend."""
    if not may_manage(access, backend):
        raise Forbidden(_why_not(backend.project, backend.kind))


def require_connector(access: Access, project: Project | None, kind: str) -> None:
    """Raise Forbidden for who may connect no backend of this kind there."""
    may = access.is_global_admin if project is None else access.is_admin(project)
    if not may:
        raise Forbidden(_why_not(project, kind))


def require_own_credentials(access: Access, *configs: Config) -> None:
    """Raise Forbidden for who would act with the credentials of the server."""
    if any(config.is_of_server for config in configs) and not access.is_global_admin:
        raise Forbidden(OF_SERVER)


def _why_not(project: Project | None, kind: str) -> str:
    if kind == queries.LOCAL:
        return THIS_MACHINE
    if project is None:
        return SERVER_WIDE
    return f"Only an admin of project {project.name} may connect, change or delete its backends."
