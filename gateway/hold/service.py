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
from gateway.hold.queue import Queue
from gateway.hold.replay_journal import ReplayJournal
from gateway.hold.request import LOST, HeldRequest
from gateway.schema import Endpoint, Hold

SOCKET, RELEASE_SOCKET = "hold.sock", "release.sock"
BACKLOG = 4096
# HAProxy finds out by itself when a replica that was down is up again.
POLL_SECONDS = 0.1
MIB = 1024 * 1024


class RouteLookup(Protocol):
    """What the hold must know of the table in force."""

    def endpoint_in(self, slot: int) -> Endpoint | None: ...

    def has_servers(self, slot: int) -> bool: ...


class HoldService:
    """`on_change` is called when the first request waits for a service, or the last one left."""

    def __init__(
        self, *, runtime: Runtime, routes: RouteLookup, on_change: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._routes = routes
        self._on_change = on_change
        self._queues: dict[int, Queue] = {}
        self._notified = asyncio.Event()
        self._releases: set[asyncio.Task[None]] = set()
        self._disk = Disk(Path())
        self._journal: ReplayJournal | None = None

    def held(self) -> dict[str, int]:
        """Count the requests that wait, by endpoint id."""
        counts = {}
        for slot, queue in self._queues.items():
            endpoint = self._routes.endpoint_in(slot)
            if endpoint is not None and queue.waiting:
                counts[endpoint.id] = len(queue.waiting)
        return counts

    def notify(self) -> None:
        """Take note that the table or HAProxy changed: others may go now."""
        self._notified.set()

    async def run(self, home: Path) -> None:
        """Hold and release requests until it is cancelled."""
        loop = asyncio.get_running_loop()
        self._disk = Disk(home)
        self._journal = ReplayJournal(home)
        (home / SOCKET).unlink(missing_ok=True)
        server = await loop.create_unix_server(
            lambda: HeldRequest(self), str(home / SOCKET), backlog=BACKLOG
        )
        (home / SOCKET).chmod(0o600)
        try:
            async with server:
                while True:
                    self._notified.clear()
                    for slot in list(self._queues):
                        await self._release_ready(slot, str(home / RELEASE_SOCKET))
                    await self._wait_for_change()
        finally:
            self._journal.close()

    async def _release_ready(self, slot: int, release_path: str) -> None:
        queue = self._queues.get(slot)
        if queue is None:
            # The last of them left meanwhile.
            return
        endpoint = self._routes.endpoint_in(slot)
        if endpoint is None or not endpoint.awake:
            self._refuse(list(queue.waiting))
            return
        self._refuse(queue.overdue(at=time.monotonic(), bounds=endpoint.hold))
        for request in queue.take(
            replicas=await self._ready_replicas(slot) if queue.waiting else 0
        ):
            task = asyncio.create_task(request.release(release_path))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)
        self._forget_if_empty(slot)

    def _refuse(self, refused: list[HeldRequest]) -> None:
        for request in refused:
            request.refuse()

    async def _ready_replicas(self, slot: int) -> int:
        if not self._routes.has_servers(slot):
            return 0
        try:
            return await self._runtime.usable(slot)
        except HaproxyFailed:
            return 0

    def _forget_if_empty(self, slot: int) -> None:
        queue = self._queues.get(slot)
        if queue is not None and not queue.waiting:
            if queue.is_empty:
                del self._queues[slot]
            self._on_change()

    async def _wait_for_change(self) -> None:
        limit: float | None = None
        for slot, queue in self._queues.items():
            endpoint = self._routes.endpoint_in(slot)
            if endpoint is None or not queue.waiting:
                continue
            due = queue.next_deadline(endpoint.hold)
            left = POLL_SECONDS if self._routes.has_servers(slot) else None
            if due is not None:
                until = max(due - time.monotonic(), 0.0)
                left = until if left is None else min(left, until)
            limit = left if limit is None else min(limit, left if left is not None else limit)
        try:
            async with asyncio.timeout(limit):
                await self._notified.wait()
        except TimeoutError:
            return

    # What held connections tell.

    def releasing(self, request: HeldRequest) -> None:
        if self._journal is not None and request.identity.idempotency_key:
            self._journal.note(request.identity.idempotency_key)

    def arrived(self, request: HeldRequest) -> None:
        if self._journal is not None and request.identity.idempotency_key in self._journal:
            request.refuse(LOST)
            return
        slot = request.identity.slot
        endpoint = self._routes.endpoint_in(slot)
        queue = self._queues.setdefault(slot, Queue())
        if endpoint is None or not endpoint.awake or not queue.admits(request, endpoint.hold):
            request.refuse()
            self._forget_if_empty(slot)
            return
        is_first = not queue.waiting
        queue.enter(request)
        if is_first:
            self._on_change()
        self.notify()

    def has_memory(self, request: HeldRequest) -> bool:
        queue = self._queues.get(request.identity.slot)
        return queue is None or queue.memory_bytes <= self._bounds(request).max_memory_mib * MIB

    def has_disk(self, request: HeldRequest, more_bytes: int) -> bool:
        # A body that came back from a replica is there twice until it was sent on.
        most_bytes = (
            self._bounds(request).max_disk_mib * MIB * (2 if request.identity.attempt else 1)
        )
        return self._disk.used_bytes(request.identity.slot) + more_bytes <= most_bytes

    def begin_spool(self, request: HeldRequest) -> Spool:
        return self._disk.begin(request.identity.slot)

    def _bounds(self, request: HeldRequest) -> Hold:
        endpoint = self._routes.endpoint_in(request.identity.slot)
        return Hold() if endpoint is None else endpoint.hold

    def left(self, request: HeldRequest) -> None:
        queue = self._queues.get(request.identity.slot)
        if queue is not None:
            queue.leave(request)
            self._forget_if_empty(request.identity.slot)
            self.notify()

    def answered(self, request: HeldRequest) -> None:
        queue = self._queues.get(request.identity.slot)
        if queue is not None:
            queue.answered(request)
            self.notify()
