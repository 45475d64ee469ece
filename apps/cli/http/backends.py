"""Backends of a server: what to say of a project without one, and following a check."""

from __future__ import annotations

import time
from typing import Any

from apps.cli.errors import Refused, Unreachable
from apps.cli.http.client import Client, address

LOCAL = "local"
CHECKING = "checking"
# The server answers when a check is over, or after half a minute; one takes minutes at most.
LONGEST_CHECK_SECONDS, PAUSE_SECONDS = 600.0, 0.5


def next_step(project: str) -> str:
    """Say who can do what for a project without a backend."""
    return (
        f"Project {project} has no backend yet, so no service can run in it. "
        "An admin of the server opens the server's own machine for it with: "
        f"dstack backend connect local --project {project}; "
        f"a cloud is connected with: dstack backend connect aws --project {project}"
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


def settled(client: Client, check: dict[str, Any], *, is_of_server: bool) -> dict[str, Any]:
    """Follow a check until it is over. Raise Unreachable where no worker of the server does it."""
    end = time.monotonic() + LONGEST_CHECK_SECONDS
    while check.get("state") == CHECKING:
        if time.monotonic() > end:
            raise Unreachable(f"No worker of {client.url} has answered yet: are they running?")
        time.sleep(PAUSE_SECONDS)
        words = ("backend-checks", str(check["id"]))
        check = client.get(address(*words) if is_of_server else client.within(*words))
    return check
