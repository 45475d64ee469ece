"""What HAProxy must hold: ten maps and the servers of each slot. Pure.

| map    | from                                  | to                                 |
|--------|---------------------------------------|------------------------------------|
| hosts  | host name                             | `Route`, `own` for our own names,  |
|        |                                       | or `openai` for the OpenAI API     |
| paths  | /services/PROJECT/RUN                 | `Route`                            |
| models | base64 (URL-safe) of a model's name   | `ModelRoute` of its service        |
| keys   | SHA-256 of a token, upper-case hex    | key id                             |
| browsers | the same of a browser's cookie      | key id                             |
| grants | PROJECT_ID:p:KEY or ENDPOINT_ID:e:KEY | 1                                  |
| limits | ENDPOINT_ID:PREFIX                    | `Limit`                            |
| bounds | key id                                | `Pace`                             |
| idle   | sSLOT                                 | ms without a byte, where not as    |
|        |                                       | everywhere                         |
| queues | sSLOT                                 | how many requests may wait for a   |
|        |                                       | turn, where replicas have limits   |

The fields of routes and limits are those of `gateway.state.records`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.schema import IDLE_TIMEOUT_SECONDS, Endpoint, Key, Model, Table
from gateway.state import limits, records
from gateway.state.records import GRANT_OF_ENDPOINT, GRANT_OF_PROJECT, ModelRoute, Route
from gateway.state.slot_kinds import Kind, kind_of
from gateway.state.slots import Layout, Server

HOSTS, PATHS, MODELS, KEYS, GRANTS = "hosts", "paths", "models", "keys", "grants"
BROWSERS = "browsers"
LIMITS, BOUNDS, IDLE, QUEUES = "limits", "bounds", "idle", "queues"
MAPS = (LIMITS, BOUNDS, IDLE, QUEUES, KEYS, BROWSERS, GRANTS, HOSTS, PATHS, MODELS)
OWN, OPENAI = "own", "openai"
# The host of the OpenAI API is this label below the gateway's domain; no run may have that name.
OPENAI_LABEL = "gateway"
# Also before the first table: the supervisor asks here whether the gateway lives.
ALWAYS_OWN = ("127.0.0.1", "::1", "localhost")

Map = dict[str, str]


@dataclass(frozen=True)
class DesiredState:
    """`maps` by name; `servers` that take requests, by name."""

    maps: dict[str, Map]
    servers: dict[str, Server]


class DesiredStateBuilder:
    """Builds desired states one after the other, anew only the half whose source changed.

    `own` are more names of the gateway itself, below those of services.
    """

    def __init__(self, *, own: Iterable[str] = ()) -> None:
        self._own = tuple(own)
        self.rights_until: float | None = None
        self._keys: list[Key] | None = None
        self._rights: dict[str, Map] = {}
        self._routes_of: tuple[object, ...] = ()
        self._routes: dict[str, Map] = {}

    def build(self, *, table: Table, layout: Layout, now: float) -> DesiredState:
        """Return what `table` and `layout` ask for at `now` (seconds since 1970).

        Afterwards `rights_until` is when the next key expires, None for never.
        """
        if table.keys is not self._keys or is_past(self.rights_until, now):
            self._rights = build_rights(keys=table.keys, now=now)
            self._keys, self.rights_until = table.keys, next_expiry(keys=table.keys, now=now)
        source = (table.endpoints, layout.slots, table.own_hosts, table.domain)
        if source != self._routes_of:
            self._routes = build_routes(table=table, slots=layout.slots, own=self._own)
            self._routes_of = source
        return DesiredState(maps={**self._rights, **self._routes}, servers=layout.servers)


def build_rights(*, keys: Iterable[Key], now: float) -> dict[str, Map]:
    """Build the maps of keys, browsers, grants and bounds, without what has expired."""
    names: Map = {}
    browsers: Map = {}
    grants: Map = {}
    bounds: Map = {}
    for key in keys:
        if not key.hash or is_past(key.expires_at, now):
            continue
        # Apart, so that neither a cookie passes for a token nor a token in a cookie.
        (browsers if key.browser else names)[key.hash.upper()] = key.id
        if bound := limits.of_key(key):
            bounds[key.id] = bound
        for project in key.projects:
            grants[f"{project}{GRANT_OF_PROJECT}{key.id}"] = "1"
        for endpoint in key.endpoints:
            grants[f"{endpoint}{GRANT_OF_ENDPOINT}{key.id}"] = "1"
    return {KEYS: names, BROWSERS: browsers, GRANTS: grants, BOUNDS: bounds}


def build_routes(
    *, table: Table, slots: Mapping[str, int], own: Iterable[str] = ()
) -> dict[str, Map]:
    """Return the maps of hosts, paths and models, and those of what is bounded.

    The newer endpoint wins a name, and wins it from those of `own` too, which are the machine's.
    """
    hosts: Map = {}
    paths: Map = {}
    models: Map = {}
    for endpoint in sorted(table.endpoints, key=lambda each: each.version):
        if slot := slots.get(endpoint.id):
            to = route(endpoint, slot)
            hosts.update(dict.fromkeys(endpoint.hosts, to))
            paths.update(dict.fromkeys(endpoint.paths, to))
            if endpoint.model:
                models[model_key(endpoint.model.name)] = model_route(endpoint, endpoint.model, slot)
    hosts.update(dict.fromkeys((*ALWAYS_OWN, *table.own_hosts), OWN))
    if table.domain:
        hosts[table.domain] = OWN
        hosts[f"{OPENAI_LABEL}.{table.domain}"] = OPENAI
    hosts = {**dict.fromkeys(own, OWN), **hosts}
    return {HOSTS: hosts, PATHS: paths, MODELS: models, **build_bounds(table=table, slots=slots)}


def build_bounds(*, table: Table, slots: Mapping[str, int]) -> dict[str, Map]:
    """Build the maps of limits, time-outs and queues."""
    idle: Map = {}
    queues: Map = {}
    for endpoint in table.endpoints:
        slot = slots.get(endpoint.id)
        if slot and endpoint.idle_timeout_seconds != IDLE_TIMEOUT_SECONDS:
            idle[f"s{slot}"] = str(endpoint.idle_timeout_seconds * 1000)
        if slot and endpoint.max_concurrency is not None:
            queues[f"s{slot}"] = str(endpoint.hold.max_requests)
    return {LIMITS: dict(limits.of_endpoints(table.endpoints)), IDLE: idle, QUEUES: queues}


def route(endpoint: Endpoint, slot: int) -> str:
    is_asleep = not endpoint.replicas and kind_of(slot) is Kind.PLAIN
    found = Route(
        slot=f"s{slot}",
        auth=int(endpoint.auth),
        project=endpoint.project,
        endpoint=endpoint.id,
        strip=int(endpoint.strip_prefix),
        limited=is_limited(endpoint),
        asleep="asleep" if is_asleep else "",
    )
    return records.write(found)


def model_route(endpoint: Endpoint, model: Model, slot: int) -> str:
    found = ModelRoute(
        slot=f"s{slot}",
        auth=int(endpoint.auth),
        project=endpoint.project,
        endpoint=endpoint.id,
        format=model.format,
        limited=is_limited(endpoint),
        prefix=model.prefix,
    )
    return records.write(found)


def is_limited(endpoint: Endpoint) -> int:
    return int(bool(endpoint.rate_limits))


def model_key(name: str) -> str:
    """Return a model's name in the letters that a map may hold, as HAProxy's `ub64enc` does."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def is_past(at: float | None, now: float) -> bool:
    return at is not None and at <= now


def next_expiry(*, keys: Iterable[Key], now: float) -> float | None:
    """Return when the next key expires, in seconds since 1970."""
    times = (key.expires_at for key in keys if key.expires_at is not None)
    return min((at for at in times if at > now), default=None)


def clashes(endpoints: Iterable[Endpoint]) -> list[str]:
    """Name the hosts and paths that more than one endpoint claims."""
    seen: set[str] = set()
    twice: list[str] = []
    for endpoint in endpoints:
        for name in (*endpoint.hosts, *endpoint.paths):
            if name in seen:
                twice.append(name)
            seen.add(name)
    return sorted(twice)
