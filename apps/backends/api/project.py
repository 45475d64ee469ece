"""Backends of a project: connecting, checking, disabling and deleting them."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from apps.accounts import access as accounts
from apps.accounts.access import Access, LiveTokenAuth
from apps.accounts.models import Project
from apps.backends import queries, services
from apps.backends.api import actions
from apps.backends.api.actions import Answer
from apps.backends.api.schemas import (
    BackendList,
    BackendOut,
    ChangedBackend,
    CheckOut,
    NewBackend,
    backend_json,
    left_json,
)
from apps.backends.connecting import requests, rows
from apps.backends.models import Backend, Check
from apps.core.errors import Detail, Invalid
from apps.core.threads import in_thread

router = Router()

ALL = "/projects/{project}/backends"
ONE = ALL + "/{backend}"
CHECK = "/projects/{project}/backend-checks/{check}"


@router.get(ALL, response=BackendList, summary="List backends")
def list_backends(request: HttpRequest, project: str) -> dict[str, Any]:
    """Where services of the project can run: its own backends, and those the server shares."""
    access = accounts.of(request)
    where = access.project(project)
    found = queries.backends_of(where).select_related("project")
    return {
        "items": [backend_json(each, access, where) for each in found],
        "next_cursor": None,
        "left_behind": left_json(where, may_connect=access.is_admin(where)),
    }


@router.post(
    ALL,
    response={201: BackendOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Connect a backend",
)
async def connect_backend(request: HttpRequest, project: str, body: NewBackend) -> Answer:
    """A cloud is asked first: 422 with each problem saves nothing, 202 names a check to follow.

    `{"kind": "local"}` opens the server's own machine; for admins of the server.
    """
    access = accounts.of(request)
    where, made = await in_thread(_connect, access, project, body)
    return await actions.answered(made, access, where, ok=201)


@router.get(ONE, response=BackendOut, summary="Show a backend")
def show_backend(request: HttpRequest, project: str, backend: str) -> dict[str, Any]:
    access = accounts.of(request)
    where = access.project(project)
    return backend_json(queries.named(where, backend), access, where)


@router.patch(
    ONE, response={200: BackendOut, 202: CheckOut}, auth=LiveTokenAuth(), summary="Change a backend"
)
async def change_backend(
    request: HttpRequest, project: str, backend: str, body: ChangedBackend
) -> Answer:
    """Disable it, enable it, or connect it otherwise: all of it, or nothing where the cloud, which
    is asked about the latter first, finds problems."""
    access = accounts.of(request)
    where = await in_thread(access.project, project)
    made = await in_thread(_change, access, where, backend, body)
    return await actions.answered(made, access, where, ok=200)


@router.delete(ONE, response={204: None, 202: BackendOut}, summary="Delete a backend")
def delete_backend(
    request: HttpRequest,
    project: str,
    backend: str,
    force: Annotated[bool, Query(description=actions.FORCE)] = False,
) -> Answer:
    """Refused (409) while services or machines need it; `force` ends its machines first."""
    access = accounts.of(request)
    return actions.delete(access, access.project(project), backend, force=force)


@router.post(
    ONE + "/check",
    response={200: CheckOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Check a backend",
)
async def check_backend(request: HttpRequest, project: str, backend: str) -> Answer:
    """Ask the cloud whether it works; 202 names a check to follow where that takes long."""
    access = accounts.of(request)
    return await actions.checked(await in_thread(_check, access, project, backend))


@router.get(
    CHECK, response={200: CheckOut, 202: CheckOut}, auth=LiveTokenAuth(), summary="Follow a check"
)
async def follow_check(request: HttpRequest, project: str, check: str) -> Answer:
    """Answered when the check is over, or with 202 after a while."""
    access = accounts.of(request)
    where = await in_thread(access.project, project)
    return await actions.checked(await in_thread(actions.check_of, access, where, check))


def _connect(access: Access, project: str, body: NewBackend) -> tuple[Project, Check | Backend]:
    where = access.project(project)
    rows.require_kind(body.kind)
    if body.kind == queries.LOCAL:
        _require_no_settings(body)
        return where, services.open_local(access=access, project=where)
    new = requests.NewBackend(body.kind, body.name or "", body.config, where)
    return where, requests.connect(access=access, new=new, check=body.check)


def _change(access: Access, where: Project, name: str, body: ChangedBackend) -> Check | Backend:
    return actions.change(access, queries.named(where, name), body)


def _check(access: Access, project: str, name: str) -> Check:
    backend = queries.named(access.project(project), name)
    return requests.check(access=access, backend=backend)


def _require_no_settings(body: NewBackend) -> None:
    """The addresses of this machine are the server's to know, never a caller's to choose."""
    if body.name not in (None, body.kind):
        raise Invalid(
            f"The backend {body.kind} is called {body.kind}: leave `name` out.",
            details=[Detail("name", f"must be {body.kind}")],
        )
    if body.config:
        raise Invalid(
            f"The backend {body.kind} takes no configuration: leave `config` out.",
            details=[Detail("config", "must be empty")],
        )
