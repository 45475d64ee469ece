"""Backends of a project over HTTP: which there are, opening this machine, closing it again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from apps.accounts import access as accounts
from apps.backends import queries, services
from apps.backends.schemas import BackendList, BackendOut, NewBackend, backend_json
from apps.core.errors import Detail, Invalid

router = Router()

ALL = "/projects/{project}/backends"
ONE = ALL + "/{backend}"


@router.get(ALL, response=BackendList, summary="List backends")
def list_backends(request: HttpRequest, project: str) -> dict[str, Any]:
    """Where services of the project can run."""
    found = queries.backends_of(accounts.of(request).project(project))
    return {"items": [backend_json(each) for each in found], "next_cursor": None}


@router.post(ALL, response={201: BackendOut}, summary="Connect a backend")
def connect_backend(request: HttpRequest, project: str, body: NewBackend) -> Status[dict[str, Any]]:
    """`{"kind": "local"}` opens the server's own machine; for admins of the server."""
    who = accounts.of(request)
    where = who.project(project)
    services.require_kind(body.kind)
    _require_no_settings(body)
    return Status(201, backend_json(services.open_local(access=who, project=where)))


@router.get(ONE, response=BackendOut, summary="Show a backend")
def show_backend(request: HttpRequest, project: str, backend: str) -> dict[str, Any]:
    return backend_json(queries.named(accounts.of(request).project(project), backend))


@router.delete(ONE, response={204: None}, summary="Close a backend")
def close_backend(request: HttpRequest, project: str, backend: str) -> Status[None]:
    """Refused (409) while services of the project need it; for admins of the server."""
    who = accounts.of(request)
    services.close(access=who, project=who.project(project), name=backend)
    return Status(204, None)


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
