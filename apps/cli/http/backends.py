"""What to say of a project in which nothing can run yet."""

from __future__ import annotations

from apps.cli.errors import Refused
from apps.cli.http.client import Client


def next_step(project: str) -> str:
    """Say who can do what for a project without a backend."""
    return (
        f"Project {project} has no backend yet, so no service can run in it. "
        "An admin of the server opens the server's own machine for it with: "
        f"dstack backend connect local --project {project}"
    )


def missing(client: Client) -> str:
    """Return what to say where the project has no backend, "" where it has one.

    An older server does not tell; nothing is said of it.
    """
    try:
        found = next(client.items(client.within("backends")), None)
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return ""
    return "" if found else next_step(client.project)
