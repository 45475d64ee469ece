"""The steps from what HAProxy holds to what it must hold. Pure.

The order keeps every moment in between right: servers come before the routes that lead to them,
keys and grants before routes, routes go before keys, and servers drain last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gateway.layout import Server
from gateway.picture import MAPS, Map, Picture

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


Change = AddServer | EnableServer | DrainServer | WriteMap | AddEntry | SetEntry | DropEntry


@dataclass(frozen=True)
class SeenServer:
    """A server that HAProxy has, in whatever state."""

    slot: int
    state: ServerState


@dataclass(frozen=True)
class Actual:
    """What HAProxy holds now: maps by name, servers by name."""

    maps: dict[str, Map]
    servers: dict[str, SeenServer]


def changes(*, actual: Actual, wanted: Picture) -> list[Change]:
    """This function will list the steps that lead from `actual` to `wanted`, in order."""
    small = [name for name in MAPS if is_small(actual, wanted, name)]
    return [
        *new_servers(actual, wanted),
        *(WriteMap(name, wanted.maps[name]) for name in MAPS if name not in small),
        *(step for name in small for step in new_entries(actual, wanted, name)),
        *(step for name in reversed(small) for step in old_entries(actual, wanted, name)),
        *old_servers(actual, wanted),
    ]


def is_small(actual: Actual, wanted: Picture, name: str) -> bool:
    old, new = actual.maps[name], wanted.maps[name]
    return old is new or len(old.items() ^ new.items()) <= MOST_SINGLE_ENTRIES


def new_servers(actual: Actual, wanted: Picture) -> Iterator[Change]:
    for name, server in wanted.servers.items():
        seen = actual.servers.get(name)
        if seen is None:
            yield AddServer(server)
        elif seen.state != "ready":
            yield EnableServer(name, server.slot)


def old_servers(actual: Actual, wanted: Picture) -> Iterator[Change]:
    for name, seen in actual.servers.items():
        if name not in wanted.servers and seen.state == "ready":
            yield DrainServer(name, seen.slot)


def new_entries(actual: Actual, wanted: Picture, name: str) -> Iterator[Change]:
    old = actual.maps[name]
    if old is wanted.maps[name]:
        return
    for key, value in wanted.maps[name].items():
        if key not in old:
            yield AddEntry(name, key, value)
        elif old[key] != value:
            yield SetEntry(name, key, value)


def old_entries(actual: Actual, wanted: Picture, name: str) -> Iterator[Change]:
    for key in actual.maps[name].keys() - wanted.maps[name].keys():
        yield DropEntry(name, key)


def after(*, actual: Actual, wanted: Picture) -> Actual:
    """This function will say what HAProxy holds once all steps to `wanted` are done."""
    ready = {name: SeenServer(each.slot, "ready") for name, each in wanted.servers.items()}
    leaving = {
        name: SeenServer(each.slot, "drain" if each.state == "ready" else each.state)
        for name, each in actual.servers.items()
        if name not in ready
    }
    return Actual(maps=dict(wanted.maps), servers={**leaving, **ready})
