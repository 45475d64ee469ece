"""Operations: what Google has begun and not ended. They are asked about where all else is.

The library's own way to wait for one asks Google whatever the endpoint is, so it is not used.
"""

from __future__ import annotations

import time
from typing import Any

from apps.backends.providers.gcp import library
from apps.backends.providers.gcp.clients import Clients

FIRST_SECONDS, MOST_SECONDS = 0.1, 2.0


def is_done(operation: Any) -> bool:
    return bool(operation.status == library.compute().Operation.Status.DONE)


def waited(clients: Clients, operation: Any, *, until: float, **place: str) -> Any:
    """Return the operation once it is done, or as it is at `until` (of the monotonic clock).

    `place` is its zone or its region; one without either is of the whole project.
    """
    service = "ZoneOperations" if "zone" in place else "RegionOperations"
    service = service if place else "GlobalOperations"
    pause = FIRST_SECONDS
    while not is_done(operation) and time.monotonic() < until:
        time.sleep(min(pause, max(until - time.monotonic(), 0)))
        pause = min(pause * 2, MOST_SECONDS)
        operation = clients.call(service, "get", operation=operation.name, **place)
    return operation


def latest_insert(clients: Clients, *, zone: str, name: str) -> Any:
    """Return the operation that was to make the machine of this name, None where there is none."""
    target = f"instances/{name}"
    rows = clients.call("ZoneOperations", "list", zone=zone, filter=f'targetLink eq ".*/{target}"')
    found = [
        row
        for row in rows
        if row.operation_type == "insert" and row.target_link.endswith(f"/{target}")
    ]
    return max(found, key=lambda row: str(row.insert_time), default=None)
