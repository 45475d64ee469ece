"""What the routes of a project and those of the server do alike; `project` is None for the latter.

Each waits for what came of its check: a worker asks the cloud meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q
from ninja import Status

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries, services, states
from apps.backends.api import waiting
from apps.backends.api.schemas import ChangedBackend, backend_json, check_json
from apps.backends.connecting import requests, roles
from apps.backends.models import Backend, Check
from apps.core.errors import NotFound
from apps.core.threads import in_thread

Answer = Status[dict[str, Any] | None]
FORCE = (
    "End its machines first; it is gone after the last of them. Where its cloud refuses its keys "
    "they are let go within minutes: `left_behind` of the list says what may run on there."
)


def found(project: Project | None, name: str) -> Backend:
    return queries.named_of_server(name) if project is None else queries.named(project, name)


async def answered(
    made: Check | Backend, access: Access, project: Project | None, *, ok: int
) -> Answer:
    """Answer with the backend, 202 with its check where that is not over, 422 with its problems."""
    if isinstance(made, Check):
        check = await waiting.outcome(made, seconds=waiting.MOST_SECONDS)
        if check.state == states.CHECKING:
            return Status(202, check_json(check))
        if check.state == states.PROBLEMS or check.backend is None:
            raise waiting.refusal(check)
        made = check.backend
    return Status(ok, await in_thread(backend_json, made, access, project))


async def checked(check: Check) -> Answer:
    """Answer with what came of a check, 202 where it is not over."""
    check = await waiting.outcome(check, seconds=waiting.MOST_SECONDS)
    return Status(202 if check.state == states.CHECKING else 200, check_json(check))


def change(
    access: Access,
    backend: Backend,
    body: ChangedBackend,
    *,
    for_all: bool = False,
    projects: Sequence[str] | None = None,
) -> Check | Backend:
    """Change what the body names; return the check of another configuration, else the backend."""
    changes = requests.Changes(body.config, body.disabled, for_all, projects)
    return requests.change(access=access, backend=backend, changes=changes, check=body.check)


def delete(access: Access, project: Project | None, name: str, *, force: bool) -> Answer:
    backend = found(project, name)
    if services.delete(access=access, backend=backend, ends_machines=force):
        return Status(204, None)
    backend.refresh_from_db()
    return Status(202, backend_json(backend, access, project))


def check_of(access: Access, project: Project | None, check_id: str) -> Check:
    """Return a check that who is asking may see. Raise Forbidden and NotFound."""
    roles.require_connector(access, project, "")
    try:
        pk = UUID(check_id)
    except ValueError:
        pk = None
    # An admin of the server checks its backends from any project.
    where = Q(project=project) | Q(project=None) if access.is_global_admin else Q(project=project)
    checks = Check.objects.select_related("backend__project", "project")
    check = checks.filter(where, pk=pk).first() if pk else None
    if check is None:
        raise NotFound("There is no such check; one that is over is forgotten after a day.")
    return check
