"""What HAProxy must hold: four maps and the servers of each slot. Pure.

| map    | from                                  | to                                 |
|--------|---------------------------------------|------------------------------------|
| hosts  | host name                             | route, or `own` for our own names  |
| paths  | /services/PROJECT/RUN                 | route                              |
| keys   | SHA-256 of a token, upper-case hex    | key id                             |
| grants | KEY:p:PROJECT_ID or KEY:e:ENDPOINT_ID | 1                                  |

A route is `sSLOT:AUTH:PROJECT_ID:ENDPOINT_ID:STRIP`: all that a request must know, in one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.layout import Layout, Server
from gateway.schema import Endpoint, Key, Table

HOSTS, PATHS, KEYS, GRANTS = "hosts", "paths", "keys", "grants"
MAPS = (KEYS, GRANTS, HOSTS, PATHS)
OWN = "own"
# Also before the first table: the supervisor asks here whether the gateway lives.
ALWAYS_OWN = ("127.0.0.1", "::1", "localhost")

Map = dict[str, str]


@dataclass(frozen=True)
class Picture:
    """`maps` by name; `servers` that take requests, by name."""

    maps: dict[str, Map]
    servers: dict[str, Server]


def draw(*, table: Table, layout: Layout, now: float) -> Picture:
    """This function will draw what `table` and `layout` mean at `now` (seconds since 1970)."""
    keys = [key for key in table.keys if not is_expired(key, now)]
    endpoints = sorted(table.endpoints, key=lambda endpoint: endpoint.version)
    maps = {
        HOSTS: {
            **{host: route(each, layout) for each in endpoints for host in placed(each, layout)},
            **dict.fromkeys((*ALWAYS_OWN, *own_hosts(table)), OWN),
        },
        PATHS: {
            path: route(each, layout)
            for each in endpoints
            if each.id in layout.slots
            for path in each.paths
        },
        KEYS: {key.hash.upper(): key.id for key in keys},
        GRANTS: dict.fromkeys((grant for key in keys for grant in grants(key)), "1"),
    }
    return Picture(maps=maps, servers=layout.servers)


def placed(endpoint: Endpoint, layout: Layout) -> list[str]:
    return endpoint.hosts if endpoint.id in layout.slots else []


def route(endpoint: Endpoint, layout: Layout) -> str:
    slot, auth, strip = layout.slots[endpoint.id], int(endpoint.auth), int(endpoint.strip_prefix)
    return f"s{slot}:{auth}:{endpoint.project}:{endpoint.id}:{strip}"


def own_hosts(table: Table) -> list[str]:
    return [host for host in (*table.own_hosts, table.domain) if host]


def grants(key: Key) -> Iterator[str]:
    yield from (f"{key.id}:p:{project}" for project in key.projects)
    yield from (f"{key.id}:e:{endpoint}" for endpoint in key.endpoints)


def is_expired(key: Key, now: float) -> bool:
    return not key.hash or (key.expires_at is not None and key.expires_at <= now)


def next_expiry(*, table: Table, now: float) -> float | None:
    """This function will return when the next key expires, in seconds since 1970."""
    times = (key.expires_at for key in table.keys if key.expires_at is not None)
    return min((at for at in times if at > now), default=None)


def clashes(table: Table) -> list[str]:
    """This function will name the hosts and paths that more than one endpoint claims."""
    seen: set[str] = set()
    twice: list[str] = []
    for endpoint in table.endpoints:
        for name in (*endpoint.hosts, *endpoint.paths):
            if name in seen:
                twice.append(name)
            seen.add(name)
    return sorted(twice)
