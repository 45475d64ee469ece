"""Which slot of HAProxy an endpoint has, and which server a replica is. Pure.

Backends cannot be added to a running HAProxy, servers can: so slots (empty backends) are declared
beforehand and an endpoint takes one. A slot is free again when its last server is gone; slots go
round, so that a request decided a moment ago never meets another service. A server's name is
never used twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from gateway.schema import Endpoint, Table, Upstream
from gateway.state.slot_kinds import FreeSlots, Kind, kind_for, kind_of

MOST_GONE = 100


class Server(BaseModel):
    """A replica as HAProxy knows it; `limit` is how many requests it gets at once, 0 for any."""

    model_config = ConfigDict(frozen=True)

    name: str
    slot: int
    replica: str
    address: str
    limit: int = 0


class Layout(BaseModel):
    """`slots` by endpoint id; `servers` take requests, `draining` finish theirs, and `gone` are the
    last that HAProxy has no more, for what is said of them later; all three by name."""

    model_config = ConfigDict(frozen=True)

    next_server: int = 1
    next_slot: int = 1
    slots: dict[str, int] = Field(default_factory=dict)
    servers: dict[str, Server] = Field(default_factory=dict)
    draining: dict[str, Server] = Field(default_factory=dict)
    gone: dict[str, Server] = Field(default_factory=dict)

    def replica_on(self, name: str) -> str:
        """Return the replica that a server is or was; empty where that is not known."""
        server = self.servers.get(name) or self.draining.get(name) or self.gone.get(name)
        return server.replica if server else ""


def assign(
    *, layout: Layout, table: Table, slot_count: int, reachable: Collection[Upstream]
) -> Layout:
    """Place the table's endpoints and replicas, moving nothing that stays.

    A replica gets a server once it is in `reachable`. Endpoints beyond the last free slot get
    none (see `unplaced`).
    """
    slots, next_slot = place_endpoints(layout, table, slot_count)
    existing = {(each.slot, each.replica, each.address): each for each in layout.servers.values()}
    servers: dict[str, Server] = {}
    next_server = layout.next_server
    for endpoint, slot in placed_endpoints(slots, table):
        limit = endpoint.max_concurrency or 0
        for replica in endpoint.replicas:
            server = existing.get((slot, replica.id, replica.address))
            if server is None and replica in reachable:
                server = Server(
                    name=f"n{next_server}", slot=slot, replica=replica.id, address=replica.address
                )
                next_server += 1
            if server is not None:
                # Copying each costs 20 ms of 5,000.
                if server.limit != limit:
                    server = server.model_copy(update={"limit": limit})
                servers[server.name] = server
    gone = {name: each for name, each in layout.servers.items() if name not in servers}
    return Layout(
        next_server=next_server,
        next_slot=next_slot,
        slots=slots,
        servers=servers,
        draining={**layout.draining, **gone},
        gone=layout.gone,
    )


def withdrawn(*, layout: Layout, addresses: Collection[str]) -> Layout:
    """Let the servers at these addresses drain; their replicas are to get new ones."""
    out = {name: each for name, each in layout.servers.items() if each.address in addresses}
    kept = {name: each for name, each in layout.servers.items() if name not in out}
    return layout.model_copy(update={"servers": kept, "draining": {**layout.draining, **out}})


def place_endpoints(layout: Layout, table: Table, slot_count: int) -> tuple[dict[str, int], int]:
    # What was taken before this change stays taken during it: its old route may still stand.
    taken = set(layout.slots.values()) | {
        server.slot for server in (*layout.servers.values(), *layout.draining.values())
    }
    free = FreeSlots(taken=taken, count=slot_count, first=layout.next_slot)
    slots: dict[str, int] = {}
    for endpoint in table.endpoints:
        slot = layout.slots.get(endpoint.id, 0)
        kind = kind_for(endpoint)
        is_placed = 1 <= slot <= slot_count
        # One that has got a model moves to where its tokens are counted, and one whose callers wait
        # for their turn to where it is noticed that they left.
        is_misplaced = is_placed and kind not in (Kind.PLAIN, kind_of(slot)) and free.has(kind)
        if not is_placed or is_misplaced:
            slot = free.take(kind)
        if slot:
            slots[endpoint.id] = slot
    return slots, free.next


def placed_endpoints(slots: dict[str, int], table: Table) -> Iterator[tuple[Endpoint, int]]:
    for endpoint in table.endpoints:
        if slot := slots.get(endpoint.id):
            yield endpoint, slot


def unplaced(*, layout: Layout, table: Table) -> list[Endpoint]:
    """List the endpoints for which there was no slot."""
    return [endpoint for endpoint in table.endpoints if endpoint.id not in layout.slots]


def waiting(*, layout: Layout, table: Table) -> list[Upstream]:
    """List the replicas of placed endpoints that have no server yet."""
    served = {(each.slot, each.replica, each.address) for each in layout.servers.values()}
    return [
        replica
        for endpoint, slot in placed_endpoints(layout.slots, table)
        for replica in endpoint.replicas
        if (slot, replica.id, replica.address) not in served
    ]


def adopt(*, layout: Layout, seen: Mapping[str, int]) -> Layout:
    """Let servers of HAProxy that nobody knows (name -> slot) drain.

    So a lost or older layout file costs no name twice and leaves no server behind.
    """
    known = layout.servers.keys() | layout.draining.keys()
    strangers = {
        name: Server(name=name, slot=slot, replica="", address="")
        for name, slot in seen.items()
        if name not in known
    }
    endings = (name.removeprefix("n") for name in strangers)
    numbers = [int(ending) for ending in endings if ending.isdecimal()]
    return layout.model_copy(
        update={
            "next_server": max([layout.next_server, *(number + 1 for number in numbers)]),
            "draining": {**layout.draining, **strangers},
        }
    )


def without(*, layout: Layout, names: Collection[str]) -> Layout:
    """Forget draining servers that are gone from HAProxy."""
    kept = {name: each for name, each in layout.draining.items() if name not in names}
    ended = {name: each for name, each in layout.draining.items() if name in names}
    newest = list({**layout.gone, **ended}.items())[-MOST_GONE:]
    return layout.model_copy(update={"draining": kept, "gone": dict(newest)})
