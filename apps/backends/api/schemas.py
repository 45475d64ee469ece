"""What the API says of backends, and what it takes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone
from ninja import Field, Schema
from pydantic import ConfigDict

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import queries, states
from apps.backends.base import SERVER_TAG
from apps.backends.connecting import roles, rows
from apps.backends.faults import leaving, said
from apps.backends.identity import server_id
from apps.backends.models import Backend, Check


class NewBackend(Schema):
    """`local` is the server's own machine; it takes no configuration and no name of its own.

    Without `check` it is connected as it is given, and nobody asks the cloud.
    """

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str | None = None
    config: dict[str, Any] = {}
    check: bool = True


class NewServerBackend(NewBackend):
    """`projects` are the names of those that may use it, or "all"."""

    projects: list[str] | str = Field(default=[])


class ChangedBackend(Schema):
    """What is left out stays; so does each key of the configuration that is left out."""

    model_config = ConfigDict(extra="forbid")

    config: dict[str, Any] | None = None
    disabled: bool | None = None
    check: bool = True


class ChangedServerBackend(ChangedBackend):
    projects: list[str] | str | None = None


class ProblemOut(Schema):
    """A sentence that says what to do; `policy` is what to paste at the cloud, where that is it."""

    message: str
    policy: str


class CheckOut(Schema):
    """`state` is checking, passed or problems; `facts` are sentences about the account."""

    id: str
    backend: str
    state: str
    problems: list[ProblemOut]
    facts: list[str]
    asked_at: datetime
    answered_at: datetime | None


class SaidOut(Schema):
    """A sentence of a cloud; `kind` is that of the failure."""

    at: datetime
    kind: str
    text: str


class BackendOut(Schema):
    """`config` is without secrets, and empty where one may not change the backend.

    `state` is enabled, disabled or deleting; machines and their price are those that live now, of
    a backend of the server the project's own. `notes` say what keeps its machines from being of
    use, such as that none could call this server; to who may change it. So is `cloud_said`, of a
    backend of the server: projects are told of what kind a failure was.
    """

    kind: str
    name: str
    scope: str
    state: str
    config: dict[str, Any]
    projects: list[str] | str | None
    instances: int
    price_usd_per_hour: float
    check: CheckOut | None
    notes: list[str]
    cloud_said: list[SaidOut]
    created_at: datetime


class LeftBehindOut(Schema):
    """A machine or an address that may still be in the account of a backend that was deleted by
    force: `name` is its own there, and `tag` what it carries."""

    backend: str
    deleted_at: datetime
    what: str
    name: str
    ref: str
    region: str
    instance: str
    price_usd_per_hour: float
    tag: str


class BackendList(Schema):
    """`left_behind` is told to who may connect backends there."""

    items: list[BackendOut]
    next_cursor: str | None
    left_behind: list[LeftBehindOut]


class KindOut(Schema):
    """`policy` is the least that the cloud must allow, to be pasted there, where it knows such."""

    kind: str
    config_schema: dict[str, Any]
    policy: str


class KindList(Schema):
    items: list[KindOut]
    next_cursor: str | None


def backend_json(backend: Backend, access: Access, project: Project | None) -> dict[str, Any]:
    """Return a backend as who is asking may see it from a project, or from none."""
    may_manage = roles.may_manage(access, backend)
    live = queries.live(backend, project)
    check = queries.last_check(backend) if may_manage else None
    return {
        "kind": backend.kind,
        "name": backend.name,
        "scope": "project" if backend.project_id else "server",
        "state": queries.state_of(backend),
        "config": rows.shown(backend) if may_manage or backend.project_id else {},
        "projects": _projects(backend) if may_manage and not backend.project_id else None,
        "instances": live.count,
        "price_usd_per_hour": float(live.usd_per_hour),
        "check": check and check_json(check),
        "notes": queries.notes(backend) if may_manage else [],
        "cloud_said": [said_json(each) for each in said.of(backend)] if may_manage else [],
        "created_at": backend.created_at,
    }


def said_json(each: said.Said) -> dict[str, Any]:
    return {"at": each.when, "kind": each.kind, "text": each.text}


def left_json(project: Project | None, *, may_connect: bool) -> list[dict[str, Any]]:
    """Return what deleted backends of a project, or of the server, may have left behind."""
    if not may_connect:
        return []
    tag = f"{SERVER_TAG}={server_id()}"
    return [
        {"backend": backend.name, "deleted_at": backend.closed_at, "tag": tag, **asdict(left)}
        for backend in leaving.told(project, at=timezone.now())
        for left in leaving.of(backend)
    ]


def check_json(check: Check) -> dict[str, Any]:
    return {
        "id": str(check.pk),
        "backend": check.name,
        "state": check.state,
        "problems": check.problems,
        "facts": check.facts,
        "asked_at": check.created_at,
        "answered_at": None if check.state == states.CHECKING else check.state_at,
    }


def _projects(backend: Backend) -> list[str] | str:
    if backend.for_all:
        return "all"
    shared = backend.shared_with.filter(deleted_at=None).order_by("name")
    return list(shared.values_list("name", flat=True))
