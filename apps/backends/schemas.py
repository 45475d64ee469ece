"""What the API says of backends, and what it takes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from apps.backends.models import Backend


class NewBackend(Schema):
    """`local` is the server's own machine; it takes no configuration and no name of its own."""

    kind: str
    name: str | None = None
    config: dict[str, Any] = {}


class BackendOut(Schema):
    kind: str
    name: str
    config: dict[str, Any]
    created_at: datetime


class BackendList(Schema):
    items: list[BackendOut]
    next_cursor: str | None


def backend_json(backend: Backend) -> dict[str, Any]:
    """Return a backend without what is the server's own: paths and addresses of this machine."""
    return {
        "kind": backend.kind,
        "name": backend.name,
        "config": {},
        "created_at": backend.created_at,
    }
