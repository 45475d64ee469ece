"""Reconciles HAProxy, and the files it starts from, with what the table says.

One task does all of it, so two rounds never cross. Files are written before HAProxy is told:
whenever either process dies, the next start has the newest state. After any refusal what HAProxy
holds is read again instead of believed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Collection, Iterable

from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy.health_check import HealthChecks
from gateway.haproxy.runtime import Runtime
from gateway.haproxy.store import Store
from gateway.schema import Endpoint, Status, Table, Upstream
from gateway.state import desired_state, diff, route_table, slots
from gateway.state.desired_state import DesiredState, DesiredStateBuilder
from gateway.state.diff import ActualState

log = logging.getLogger(__name__)

DRAIN_POLL_SECONDS = 0.1
RETRY_SECONDS = 0.5
NOT_TRIED = "not connected yet"
MANY = 1000


class Reconciler:
    """`known` is the table in force; `refused` is why a newer one is not, empty when all is well.

    `on_change` is called when the status may have changed, and after each round. `own` are names of
    the gateway itself besides those in the table; `why_not` is that of `HealthChecks`.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        on_change: Callable[[], None],
        own: Iterable[str] = (),
        why_not: Callable[[str], str] = lambda address: "",
    ) -> None:
        self.known, self.layout = store.load()
        self.refused = ""
        self._store = store
        self._runtime = runtime
        self._on_change = on_change
        self._builder = DesiredStateBuilder(own=own)
        self._health_checks = HealthChecks(on_change=self.notify, why_not=why_not)
        self._notified = asyncio.Event()
        # What HAProxy holds, as far as it is known; a new HAProxy has a new number.
        self._actual: ActualState | None = None
        self._attached = False
        self._generation = 0
        self._in_flight: dict[str, int] = {}
        self._waiting: list[Upstream] = []
        self._withdrawn: set[str] = set()
        self._problems: list[str] = []
        self._fault = ""
        self._applied = 0
        # The endpoints that `layout` belongs to.
        self._assigned: list[Endpoint] | None = None
        self._assign_slots()

    def accept(self, update: Table) -> None:
        """Put an answer of the control plane in force, soon. Raise OSError."""
        self.known = route_table.merge(known=self.known, update=update)
        self.refused = ""
        self.notify()
        self._store.note(update=update, known=self.known)
        if len(update.endpoints) + len(update.keys) > MANY:
            # A collection that scans so much holds up all that is done here for 0.1 s.
            gc.collect()
            gc.freeze()

    @property
    def applied(self) -> int:
        """Return the version of the table that HAProxy serves by."""
        return self._applied

    @property
    def generation(self) -> int:
        """How many HAProxies were reconciled so far."""
        return self._generation

    def notify(self) -> None:
        self._notified.set()

    def withdraw(self, addresses: Collection[str]) -> None:
        """Send nothing more to these addresses before they have passed the check anew."""
        served = {server.address for server in self.layout.servers.values()}
        if found := served.intersection(addresses):
            self._withdrawn |= found
            self.notify()

    def attach(self) -> None:
        """Begin to reconcile a HAProxy that runs."""
        self._attached = True
        self._actual = None
        self._generation += 1
        self.notify()

    def detach(self) -> None:
        """Make the files ready for a HAProxy that is about to start."""
        self._attached = False
        self._actual = None
        # What was in flight ended with the old process.
        gone = list(self.layout.draining)
        self.layout = slots.without(layout=self.layout, names=gone)
        self._in_flight.clear()
        self._write()

    def status(self, *, boot_id: str, held: dict[str, int]) -> Status:
        """Say what is so now; `held` counts waiting requests by endpoint."""
        problems = [self.refused, self._fault, *self._problems]
        return Status(
            boot_id=boot_id,
            applied=self._applied,
            draining={replica: count for replica, count in self._in_flight.items() if count},
            pending={
                each.id: self._health_checks.reasons.get(each, NOT_TRIED) for each in self._waiting
            },
            held=held,
            error="; ".join(problem for problem in problems if problem),
        )

    async def run(self) -> None:
        """Reconcile HAProxy until it is cancelled."""
        while True:
            try:
                if self._is_due():
                    await self._reconcile()
                else:
                    await self._remove_drained()
            except (HaproxyFailed, RuntimeRefused, OSError) as error:
                log.warning("cannot apply the table: %s", error)
                self._fault, self._actual = str(error), None
            self._on_change()
            await self._wait_for_change()

    def _is_due(self) -> bool:
        has_expired = desired_state.is_past(self._builder.rights_until, time.time())
        return self._notified.is_set() or bool(self._fault) or has_expired

    async def _reconcile(self) -> None:
        # First of all: what fails below must wait its time, not begin again at once.
        self._notified.clear()
        generation, actual = self._generation, self._actual
        if self._attached and actual is None:
            actual = await self._runtime.read_actual_state()
            seen = {name: each.slot for name, each in actual.servers.items()}
            self.layout = slots.adopt(layout=self.layout, seen=seen)
        self._assign_slots()
        if await self._health_checks.settle():
            self._assign_slots()
        version, desired = self.known.version, self._write()
        if not self._attached or actual is None:
            return
        self._actual = None
        await self._runtime.apply(diff.changes(actual=actual, desired=desired))
        if generation != self._generation:
            raise HaproxyFailed("HAProxy was replaced meanwhile")
        self._actual = diff.after(actual=actual, desired=desired)
        await self._remove_drained()
        self._applied, self._fault = version, ""

    def _assign_slots(self) -> None:
        if self._withdrawn:
            self.layout = slots.withdrawn(layout=self.layout, addresses=self._withdrawn)
            self._withdrawn, self._assigned = set(), None
        if self._assigned is self.known.endpoints and not self._health_checks.reachable:
            return
        self._assigned = self.known.endpoints
        self.layout = slots.assign(
            layout=self.layout,
            table=self.known,
            slot_count=self._store.shape.slots,
            reachable=self._health_checks.reachable,
        )
        self._waiting = slots.waiting(layout=self.layout, table=self.known)
        self._health_checks.probe(self._waiting)
        self._problems = self._find_problems()

    def _find_problems(self) -> list[str]:
        problems = []
        if left_out := slots.unplaced(layout=self.layout, table=self.known):
            problems.append(
                f"{len(left_out)} services have no route: all {self._store.shape.slots} slots are "
                "taken; give the gateway more (DSTACK_GATEWAY_SLOTS)"
            )
        if twice := desired_state.clashes(self.known.endpoints):
            problems.append(f"two services claim {twice[0]}; the newer one has it")
        return problems

    def _write(self) -> DesiredState:
        desired = self._builder.build(table=self.known, layout=self.layout, now=time.time())
        self._store.write_layout(self.layout)
        self._store.write_haproxy(desired)
        return desired

    async def _remove_drained(self) -> None:
        """Delete the servers that finished; count what the others still carry."""
        draining = self.layout.draining.values()
        if not self._attached:
            return
        counts = {slot: await self._runtime.in_flight(slot) for slot in {s.slot for s in draining}}
        wanted = {server.replica for server in self.layout.servers.values()}
        in_flight: dict[str, int] = {}
        gone: list[str] = []
        for server in draining:
            count = counts[server.slot].get(server.name, 0)
            if server.replica and server.replica not in wanted:
                in_flight[server.replica] = in_flight.get(server.replica, 0) + count
            if count == 0 and await self._runtime.remove(name=server.name, slot=server.slot):
                gone.append(server.name)
        self._in_flight = in_flight
        self._forget(gone)

    def _forget(self, names: list[str]) -> None:
        if not names or self._actual is None:
            return
        self.layout = slots.without(layout=self.layout, names=names)
        for name in names:
            self._actual.servers.pop(name, None)
        self._store.write_layout(self.layout)

    async def _wait_for_change(self) -> None:
        """Wait for news, or until something is due."""
        limit = DRAIN_POLL_SECONDS if self.layout.draining else None
        if self._fault:
            limit = RETRY_SECONDS
        if self._builder.rights_until is not None:
            until = max(self._builder.rights_until - time.time(), 0.0)
            limit = until if limit is None else min(limit, until)
        try:
            async with asyncio.timeout(limit):
                await self._notified.wait()
        except TimeoutError:
            return
