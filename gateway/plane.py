"""The data plane's keeper: leads HAProxy, and the files it starts from, to what the table says.

One task does all of it, so steps never cross. Files are written before HAProxy is told: whenever
either process dies, the next start has the newest state. After any refusal what HAProxy holds is
read again instead of believed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable

from gateway import changes, layout, picture, table
from gateway.admission import Admission
from gateway.changes import Actual
from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy.runtime import Runtime
from gateway.schema import Endpoint, Status, Table, Upstream
from gateway.store import Store

log = logging.getLogger(__name__)

DRAIN_LOOK_SECONDS = 0.1
RETRY_SECONDS = 0.5
NOT_TRIED = "not connected yet"
MANY = 1000


class Plane:
    """`known` is the table in force; `refused` is why a newer one is not, empty when all is well.

    `on_change` is called when the status may have changed, and after each step. `own` are names of
    the gateway itself besides those in the table.
    """

    def __init__(
        self,
        *,
        store: Store,
        runtime: Runtime,
        on_change: Callable[[], None],
        own: Iterable[str] = (),
    ) -> None:
        self.known, self.layout = store.load()
        self.refused = ""
        self._store = store
        self._runtime = runtime
        self._on_change = on_change
        self._painter = picture.Painter(own=own)
        self._admission = Admission(on_change=self.poke)
        self._poked = asyncio.Event()
        # What HAProxy holds, as far as it is known; a new HAProxy has a new number.
        self._actual: Actual | None = None
        self._attached = False
        self._number = 0
        self._in_flight: dict[str, int] = {}
        self._waiting: list[Upstream] = []
        self._problems: list[str] = []
        self._fault = ""
        self._applied = 0
        # The endpoints that `layout` belongs to.
        self._arranged: list[Endpoint] | None = None
        self._arrange()

    def take(self, update: Table) -> None:
        """This function will put an answer of the control plane in force, soon. Raises OSError."""
        self.known = table.merge(known=self.known, update=update)
        self.refused = ""
        self.poke()
        self._store.note(update=update, known=self.known)
        if len(update.endpoints) + len(update.keys) > MANY:
            # A collection that looks through so much holds up all that is done here for 0.1 s.
            gc.collect()
            gc.freeze()

    @property
    def generation(self) -> int:
        """How many HAProxies were led so far."""
        return self._number

    def poke(self) -> None:
        self._poked.set()

    def attach(self) -> None:
        """This function will begin to lead a HAProxy that runs."""
        self._attached = True
        self._actual = None
        self._number += 1
        self.poke()

    def detach(self) -> None:
        """This function will make the files ready for a HAProxy that is about to start."""
        self._attached = False
        self._actual = None
        # What was in flight ended with the old process.
        gone = list(self.layout.draining)
        self.layout = layout.without(layout=self.layout, names=gone)
        self._in_flight.clear()
        self._write()

    def status(self, *, boot_id: str, held: dict[str, int]) -> Status:
        """This function will say what is so now; `held` counts waiting requests by endpoint."""
        problems = [self.refused, self._fault, *self._problems]
        return Status(
            boot_id=boot_id,
            applied=self._applied,
            draining={replica: count for replica, count in self._in_flight.items() if count},
            pending={
                each.id: self._admission.reasons.get(each, NOT_TRIED) for each in self._waiting
            },
            held=held,
            error="; ".join(problem for problem in problems if problem),
        )

    async def run(self) -> None:
        """This function will keep HAProxy in step until it is cancelled."""
        while True:
            try:
                if self._is_due():
                    await self._step()
                else:
                    await self._reap()
            except (HaproxyFailed, RuntimeRefused, OSError) as error:
                log.warning("cannot apply the table: %s", error)
                self._fault, self._actual = str(error), None
            self._on_change()
            await self._rest()

    def _is_due(self) -> bool:
        has_expired = picture.is_past(self._painter.rights_until, time.time())
        return self._poked.is_set() or bool(self._fault) or has_expired

    async def _step(self) -> None:
        # First of all: what fails below must wait its time, not begin again at once.
        self._poked.clear()
        number, actual = self._number, self._actual
        if self._attached and actual is None:
            actual = await self._runtime.look()
            seen = {name: each.slot for name, each in actual.servers.items()}
            self.layout = layout.adopt(layout=self.layout, seen=seen)
        self._arrange()
        if await self._admission.settle():
            self._arrange()
        version, wanted = self.known.version, self._write()
        if not self._attached or actual is None:
            return
        self._actual = None
        await self._runtime.apply(changes.changes(actual=actual, wanted=wanted))
        if number != self._number:
            raise HaproxyFailed("HAProxy was replaced meanwhile")
        self._actual = changes.after(actual=actual, wanted=wanted)
        await self._reap()
        self._applied, self._fault = version, ""

    def _arrange(self) -> None:
        if self._arranged is self.known.endpoints and not self._admission.reachable:
            return
        self._arranged = self.known.endpoints
        self.layout = layout.arrange(
            layout=self.layout,
            table=self.known,
            slot_count=self._store.shape.slots,
            reachable=self._admission.reachable,
        )
        self._waiting = layout.waiting(layout=self.layout, table=self.known)
        self._admission.want(self._waiting)
        self._problems = self._find_problems()

    def _find_problems(self) -> list[str]:
        problems = []
        if left_out := layout.unplaced(layout=self.layout, table=self.known):
            problems.append(
                f"{len(left_out)} services have no route: all {self._store.shape.slots} slots are "
                "taken; give the gateway more (DSTACK_GATEWAY_SLOTS)"
            )
        if twice := picture.clashes(self.known.endpoints):
            problems.append(f"two services claim {twice[0]}; the newer one has it")
        return problems

    def _write(self) -> picture.Picture:
        wanted = self._painter.draw(table=self.known, layout=self.layout, now=time.time())
        self._store.write_layout(self.layout)
        self._store.write_haproxy(wanted)
        return wanted

    async def _reap(self) -> None:
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
        self.layout = layout.without(layout=self.layout, names=names)
        for name in names:
            self._actual.servers.pop(name, None)
        self._store.write_layout(self.layout)

    async def _rest(self) -> None:
        """Wait for news, or until something is due."""
        limit = DRAIN_LOOK_SECONDS if self.layout.draining else None
        if self._fault:
            limit = RETRY_SECONDS
        if self._painter.rights_until is not None:
            until = max(self._painter.rights_until - time.time(), 0.0)
            limit = until if limit is None else min(limit, until)
        try:
            async with asyncio.timeout(limit):
                await self._poked.wait()
        except TimeoutError:
            return
