"""How the requests of an endpoint lie on its replicas, where it has several.

Whoever scales down ends the least loaded one; of a single replica there is nothing to choose.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from gateway.errors import HaproxyFailed
from gateway.haproxy.runtime import Runtime
from gateway.schema import Load
from gateway.state.slots import Layout

log = logging.getLogger(__name__)


async def add_replicas(*, runtime: Runtime, layout: Layout, load: Sequence[Load]) -> list[Load]:
    """Say of each load on which replicas it lies; without an answer of HAProxy
    it is left as it is."""
    slots = slots_to_ask(layout, load)
    if not slots:
        return list(load)
    try:
        by_server = await runtime.in_flight_on(sorted(slots.values()))
    except HaproxyFailed as error:
        log.debug("the load of replicas could not be read: %s", error)
        return list(load)
    return [
        each.model_copy(update={"replicas": on_replicas(layout, slots[each.endpoint], by_server)})
        if each.endpoint in slots
        else each
        for each in load
    ]


def slots_to_ask(layout: Layout, load: Sequence[Load]) -> dict[str, int]:
    """Return the slots, by endpoint, whose load lies on one of several."""
    busy = [each.endpoint for each in load if each.in_flight and each.endpoint in layout.slots]
    if not busy:
        return {}
    servers = Counter(server.slot for server in layout.servers.values())
    slots = {endpoint: layout.slots[endpoint] for endpoint in busy}
    return {endpoint: slot for endpoint, slot in slots.items() if servers[slot] > 1}


def on_replicas(layout: Layout, slot: int, by_server: dict[str, int]) -> dict[str, int]:
    """Return the requests in flight by replica, of those that take some."""
    return {
        server.replica: count
        for name, server in layout.servers.items()
        if server.slot == slot and (count := by_server.get(name, 0))
    }
