"""Backends of the server itself, shared with projects; for its admins. And the kinds there are."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router

from apps.accounts import access as accounts
from apps.accounts.access import Access, LiveTokenAuth
from apps.backends import queries
from apps.backends.api import actions
from apps.backends.api.actions import Answer
from apps.backends.api.schemas import (
    BackendList,
    BackendOut,
    ChangedServerBackend,
    CheckOut,
    KindList,
    NewServerBackend,
    backend_json,
    left_json,
)
from apps.backends.connecting import requests, rows
from apps.backends.models import Backend, Check
from apps.backends.registry import PROVIDERS
from apps.core.errors import Detail, Invalid
from apps.core.threads import in_thread

router = Router()

ALL = "/backends"
ONE = ALL + "/{server_backend}"


@router.get("/backend-kinds", response=KindList, summary="List kinds of backends")
def list_kinds(request: HttpRequest) -> dict[str, Any]:
    """The JSON Schema of each kind's configuration, and the least that the cloud must allow."""
    accounts.of(request)
    items = [
        {
            "kind": kind,
            "config_schema": provider.Config.model_json_schema(),
            "policy": provider.minimal_policy,
        }
        for kind, provider in sorted(PROVIDERS.items())
        if kind not in queries.KEPT
    ]
    return {"items": items, "next_cursor": None}


@router.get(ALL, response=BackendList, summary="List backends of the server")
def list_server_backends(request: HttpRequest) -> dict[str, Any]:
    access = _admin(request)
    found = queries.backends_of_server()
    return {
        "items": [backend_json(each, access, None) for each in found],
        "next_cursor": None,
        "left_behind": left_json(None, may_connect=True),
    }


@router.post(
    ALL,
    response={201: BackendOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Connect a backend of the server",
)
async def connect_server_backend(request: HttpRequest, body: NewServerBackend) -> Answer:
    """For the projects that are named, or all; checked as one of a project is."""
    access = _admin(request)
    return await actions.answered(await in_thread(_connect, access, body), access, None, ok=201)


@router.get(ONE, response=BackendOut, summary="Show a backend of the server")
def show_server_backend(request: HttpRequest, server_backend: str) -> dict[str, Any]:
    access = _admin(request)
    return backend_json(queries.named_of_server(server_backend), access, None)


@router.patch(
    ONE,
    response={200: BackendOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Change a backend of the server",
)
async def change_server_backend(
    request: HttpRequest, server_backend: str, body: ChangedServerBackend
) -> Answer:
    """Disable it, enable it, share it with other projects, or connect it otherwise: all of it, or
    nothing where the cloud, which is asked about the last first, finds problems."""
    access = _admin(request)
    made = await in_thread(_change, access, server_backend, body)
    return await actions.answered(made, access, None, ok=200)


@router.delete(ONE, response={204: None, 202: BackendOut}, summary="Delete a backend of the server")
def delete_server_backend(
    request: HttpRequest,
    server_backend: str,
    force: Annotated[bool, Query(description=actions.FORCE)] = False,
) -> Answer:
    return actions.delete(_admin(request), None, server_backend, force=force)


@router.post(
    ONE + "/check",
    response={200: CheckOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Check a backend of the server",
)
async def check_server_backend(request: HttpRequest, server_backend: str) -> Answer:
    access = _admin(request)
    return await actions.checked(await in_thread(_check, access, server_backend))


@router.get(
    "/backend-checks/{server_check}",
    response={200: CheckOut, 202: CheckOut},
    auth=LiveTokenAuth(),
    summary="Follow a check of the server",
)
async def follow_server_check(request: HttpRequest, server_check: str) -> Answer:
    access = _admin(request)
    return await actions.checked(await in_thread(actions.check_of, access, None, server_check))


def _admin(request: HttpRequest) -> Access:
    access = accounts.of(request)
    access.require_global_admin()
    return access


def _connect(access: Access, body: NewServerBackend) -> Check | Backend:
    rows.require_kind(body.kind)
    for_all, names = _projects(body.projects)
    new = requests.NewBackend(body.kind, body.name or "", body.config, None, for_all, names)
    return requests.connect(access=access, new=new, check=body.check)


def _change(access: Access, name: str, body: ChangedServerBackend) -> Check | Backend:
    backend = queries.named_of_server(name)
    if body.projects is None:
        return actions.change(access, backend, body)
    for_all, names = _projects(body.projects)
    return actions.change(access, backend, body, for_all=for_all, projects=names)


def _check(access: Access, name: str) -> Check:
    return requests.check(access=access, backend=queries.named_of_server(name))


def _projects(said: list[str] | str) -> tuple[bool, list[str]]:
    if isinstance(said, list):
        return False, said
    if said != "all":
        message = 'must be a list of names, or "all"'
        raise Invalid(f"projects {message}.", details=[Detail("projects", message)])
    return True, []
