"""The steps from what HAProxy holds to what it must hold. Pure.

The order keeps every moment in between right: servers come before the routes that lead to them,
keys and grants before routes, routes go before keys, and servers drain last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gateway.state.desired_state import MAPS, DesiredState, Map
from gateway.state.slots import Server

# Above this many entries one whole map, swapped in at once, is quicker than single commands.
MOST_SINGLE_ENTRIES = 100

ServerState = Literal["ready", "drain", "maint"]


@dataclass(frozen=True)
class AddServer:
    server: Server


@dataclass(frozen=True)
class EnableServer:
    name: str
    slot: int


@dataclass(frozen=True)
class DrainServer:
    name: str
    slot: int


@dataclass(frozen=True)
class LimitServer:
    """Change how many requests a server gets at once; 0 for any number."""

    name: str
    slot: int
    limit: int


@dataclass(frozen=True)
class WriteMap:
    map: str
    entries: Map = field(hash=False)


@dataclass(frozen=True)
class AddEntry:
    map: str
    key: str
    value: str


@dataclass(frozen=True)
class SetEntry:
    map: str
    key: str
    value: str


@dataclass(frozen=True)
class DropEntry:
    map: str
    key: str


Change = (
    AddServer
    | EnableServer
    | DrainServer
    | LimitServer
    | WriteMap
    | AddEntry
    | SetEntry
    | DropEntry
)


@dataclass(frozen=True)
class SeenServer:
    """A server that HAProxy has, in whatever state; `limit` is None where it is not known."""

    slot: int
    state: ServerState
    limit: int | None = 0


@dataclass(frozen=True)
class ActualState:
    """What HAProxy holds now: maps by name, servers by name."""

    maps: dict[str, Map]
    servers: dict[str, SeenServer]


@dataclass(frozen=True)
class Difference:
    """How one map must change."""

    map: str
    new: Map
    changed: Map
    gone: list[str]

    @property
    def is_small(self) -> bool:
        return len(self.new) + len(self.changed) + len(self.gone) <= MOST_SINGLE_ENTRIES


def changes(*, actual: ActualState, desired: DesiredState) -> list[Change]:
    """List the steps that lead from `actual` to `desired`, in order."""
    found = [difference(name, actual.maps[name], desired.maps[name]) for name in MAPS]
    small = [each for each in found if each.is_small]
    return [
        *new_servers(actual, desired),
        *(WriteMap(each.map, desired.maps[each.map]) for each in found if not each.is_small),
        *(AddEntry(each.map, key, value) for each in small for key, value in each.new.items()),
        *(SetEntry(each.map, key, value) for each in small for key, value in each.changed.items()),
        *(DropEntry(each.map, key) for each in reversed(small) for key in each.gone),
        *old_servers(actual, desired),
    ]


def difference(name: str, old: Map, new: Map) -> Difference:
    if old is new:
        return Difference(name, {}, {}, [])
    other = {key: value for key, value in new.items() if old.get(key) != value}
    return Difference(
        map=name,
        new={key: value for key, value in other.items() if key not in old},
        changed={key: value for key, value in other.items() if key in old},
        gone=[key for key in old if key not in new],
    )


def new_servers(actual: ActualState, desired: DesiredState) -> Iterator[Change]:
    for name, server in desired.servers.items():
        seen = actual.servers.get(name)
        if seen is None:
            yield AddServer(server)
            continue
        if seen.limit != server.limit:
            yield LimitServer(name, server.slot, server.limit)
        if seen.state != "ready":
            yield EnableServer(name, server.slot)


def old_servers(actual: ActualState, desired: DesiredState) -> Iterator[Change]:
    for name, seen in actual.servers.items():
        if name not in desired.servers and seen.state == "ready":
            yield DrainServer(name, seen.slot)


def after(*, actual: ActualState, desired: DesiredState) -> ActualState:
    """Say what HAProxy holds once all steps to `desired` are done."""
    ready = {
        name: SeenServer(each.slot, "ready", each.limit) for name, each in desired.servers.items()
    }
    leaving = {
        name: SeenServer(each.slot, "drain" if each.state == "ready" else each.state)
        for name, each in actual.servers.items()
        if name not in ready
    }
    return ActualState(maps=dict(desired.maps), servers={**leaving, **ready})
