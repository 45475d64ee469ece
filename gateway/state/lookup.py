"""The table in force, by what one looks for: slots, endpoints, models, keys."""

from __future__ import annotations

import time
from typing import Protocol

from gateway.schema import Endpoint, Key, Table
from gateway.state.desired_state import is_past
from gateway.state.slots import Layout


class InForce(Protocol):
    """Who leads the table: see `gateway.haproxy.reconciler`."""

    known: Table
    layout: Layout


class Directory:
    """Looks things up in what `source` has now; indexes are made anew when it has changed."""

    def __init__(self, source: InForce) -> None:
        self._source = source
        self._of: tuple[object, ...] = ()
        self._endpoints: dict[str, Endpoint] = {}
        self._models: dict[str, Endpoint] = {}
        self._keys: dict[str, Key] = {}
        self._by_slot: dict[int, str] = {}
        self._serving: set[int] = set()

    def endpoint(self, pk: str) -> Endpoint | None:
        self._refresh()
        return self._endpoints.get(pk)

    def endpoint_in(self, slot: int) -> Endpoint | None:
        self._refresh()
        return self._endpoints.get(self._by_slot.get(slot, ""))

    def slot_of(self, endpoint: Endpoint) -> int | None:
        return self._source.layout.slots.get(endpoint.id)

    def has_servers(self, slot: int) -> bool:
        """Tell whether replicas of the slot are known to HAProxy, or about to
        be."""
        self._refresh()
        return slot in self._serving

    def bounded_slots(self) -> list[int]:
        """List the slots whose replicas take only so many requests at once."""
        slots = self._source.layout.slots
        bounded = (each.id for each in self._source.known.endpoints if each.max_concurrency)
        return [slots[pk] for pk in bounded if pk in slots]

    def model(self, name: str, *, key_id: str) -> Endpoint | None:
        """Find the service of a model that the key opens."""
        self._refresh()
        found = self._models.get(name)
        return found if found is not None and self.opens(key_id, found) else None

    def models(self, *, key_id: str) -> list[Endpoint]:
        """List the services with models that the key opens, by model name."""
        self._refresh()
        return [each for _, each in sorted(self._models.items()) if self.opens(key_id, each)]

    def opens(self, key_id: str, endpoint: Endpoint) -> bool:
        self._refresh()
        key = self._keys.get(key_id)
        if key is None or is_past(key.expires_at, time.time()):
            return False
        return endpoint.project in key.projects or endpoint.id in key.endpoints

    def _refresh(self) -> None:
        table, layout = self._source.known, self._source.layout
        of = (table.endpoints, table.keys, layout.slots, layout.servers)
        if len(of) == len(self._of) and all(a is b for a, b in zip(of, self._of, strict=True)):
            return
        self._of = of
        self._endpoints = {each.id: each for each in table.endpoints}
        # The newer endpoint wins a name, as in `gateway.state.desired_state`.
        by_age = sorted(table.endpoints, key=lambda each: each.version)
        self._models = {each.model.name: each for each in by_age if each.model}
        self._keys = {each.id: each for each in table.keys}
        self._by_slot = {slot: pk for pk, slot in layout.slots.items()}
        self._serving = {each.slot for each in layout.servers.values()}
