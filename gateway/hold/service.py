"""The hold: requests to a service without a ready replica wait here until there is one.

HAProxy sends them by itself, since the hold is the backup server of every slot, and gets them back
at another socket of its own once a replica is up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from gateway.errors import HaproxyFailed
from gateway.haproxy.runtime import Runtime
from gateway.hold.disk import Disk, Spool
from gateway.hold.held import LOST, Held
from gateway.hold.journal import Journal
from gateway.hold.queue import Queue
from gateway.schema import Endpoint, Hold

SOCKET, RELEASE_SOCKET = "hold.sock", "release.sock"
BACKLOG = 4096
# HAProxy finds out by itself when a replica that was down is up again.
LOOK_SECONDS = 0.1
MIB = 1024 * 1024


class Places(Protocol):
    """What the hold must know of the table in force."""

    def endpoint_in(self, slot: int) -> Endpoint | None: ...

    def has_servers(self, slot: int) -> bool: ...


class Holding:
    """`on_change` is called when the first request waits for a service, or the last one left."""

    def __init__(self, *, runtime: Runtime, places: Places, on_change: Callable[[], None]) -> None:
        self._runtime = runtime
        self._places = places
        self._on_change = on_change
        self._queues: dict[int, Queue] = {}
        self._news = asyncio.Event()
        self._releases: set[asyncio.Task[None]] = set()
        self._disk = Disk(Path())
        self._journal: Journal | None = None

    def held(self) -> dict[str, int]:
        """This function will count the requests that wait, by endpoint id."""
        counts = {}
        for slot, queue in self._queues.items():
            endpoint = self._places.endpoint_in(slot)
            if endpoint is not None and queue.waiting:
                counts[endpoint.id] = len(queue.waiting)
        return counts

    def look(self) -> None:
        """This function will look again who may go: the table or HAProxy changed."""
        self._news.set()

    async def run(self, home: Path) -> None:
        """This function will hold and release requests until it is cancelled."""
        loop = asyncio.get_running_loop()
        self._disk = Disk(home)
        self._journal = Journal(home)
        (home / SOCKET).unlink(missing_ok=True)
        server = await loop.create_unix_server(
            lambda: Held(self), str(home / SOCKET), backlog=BACKLOG
        )
        (home / SOCKET).chmod(0o600)
        try:
            async with server:
                while True:
                    self._news.clear()
                    for slot in list(self._queues):
                        await self._serve(slot, str(home / RELEASE_SOCKET))
                    await self._rest()
        finally:
            self._journal.close()

    async def _serve(self, slot: int, release_path: str) -> None:
        queue = self._queues.get(slot)
        if queue is None:
            # The last of them left meanwhile.
            return
        endpoint = self._places.endpoint_in(slot)
        if endpoint is None or not endpoint.awake:
            self._refuse(list(queue.waiting))
            return
        self._refuse(queue.overdue(at=time.monotonic(), bounds=endpoint.hold))
        for held in queue.take(replicas=await self._ready(slot) if queue.waiting else 0):
            task = asyncio.create_task(held.release(release_path))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)
        self._tidy(slot)

    def _refuse(self, refused: list[Held]) -> None:
        for held in refused:
            held.refuse()

    async def _ready(self, slot: int) -> int:
        if not self._places.has_servers(slot):
            return 0
        try:
            return await self._runtime.usable(slot)
        except HaproxyFailed:
            return 0

    def _tidy(self, slot: int) -> None:
        queue = self._queues.get(slot)
        if queue is not None and not queue.waiting:
            if queue.is_empty:
                del self._queues[slot]
            self._on_change()

    async def _rest(self) -> None:
        limit: float | None = None
        for slot, queue in self._queues.items():
            endpoint = self._places.endpoint_in(slot)
            if endpoint is None or not queue.waiting:
                continue
            due = queue.next_deadline(endpoint.hold)
            left = LOOK_SECONDS if self._places.has_servers(slot) else None
            if due is not None:
                until = max(due - time.monotonic(), 0.0)
                left = until if left is None else min(left, until)
            limit = left if limit is None else min(limit, left if left is not None else limit)
        try:
            async with asyncio.timeout(limit):
                await self._news.wait()
        except TimeoutError:
            return

    # What held connections tell.

    def releasing(self, held: Held) -> None:
        if self._journal is not None and held.ticket.once:
            self._journal.note(held.ticket.once)

    def arrived(self, held: Held) -> None:
        if self._journal is not None and held.ticket.once in self._journal:
            held.refuse(LOST)
            return
        slot = held.ticket.slot
        endpoint = self._places.endpoint_in(slot)
        queue = self._queues.setdefault(slot, Queue())
        if endpoint is None or not endpoint.awake or not queue.admits(held, endpoint.hold):
            held.refuse()
            self._tidy(slot)
            return
        is_first = not queue.waiting
        queue.enter(held)
        if is_first:
            self._on_change()
        self.look()

    def has_memory(self, held: Held) -> bool:
        queue = self._queues.get(held.ticket.slot)
        return queue is None or queue.memory_bytes <= self._bounds(held).max_memory_mib * MIB

    def has_disk(self, held: Held, more_bytes: int) -> bool:
        # A body that came back from a replica is there twice until it was sent on.
        most_bytes = self._bounds(held).max_disk_mib * MIB * (2 if held.ticket.turn else 1)
        return self._disk.used_bytes(held.ticket.slot) + more_bytes <= most_bytes

    def begin_spool(self, held: Held) -> Spool:
        return self._disk.begin(held.ticket.slot)

    def _bounds(self, held: Held) -> Hold:
        endpoint = self._places.endpoint_in(held.ticket.slot)
        return Hold() if endpoint is None else endpoint.hold

    def left(self, held: Held) -> None:
        queue = self._queues.get(held.ticket.slot)
        if queue is not None:
            queue.leave(held)
            self._tidy(held.ticket.slot)
            self.look()

    def answered(self, held: Held) -> None:
        queue = self._queues.get(held.ticket.slot)
        if queue is not None:
            queue.answered(held)
            self.look()
