"""One connection to a new replica before it takes requests, by the way that requests will go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from gateway.backoff import Backoff
from gateway.schema import Upstream

CONNECT_SECONDS = 2.0
# A replica behind a tunnel may be announced just before its port is there.
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
# What a connection takes at most where the replica is near and well.
SETTLE_SECONDS = 0.05
# So many replicas are probed at once when a gateway meets thousands of replicas.
MOST_AT_ONCE = 200


class HealthChecks:
    """Replicas being probed; `reachable` are those that answered, `reasons` why others did not.

    `why_not` says of an address why nobody there may be believed to be the replica, "" where one
    may.
    """

    def __init__(self, *, on_change: Callable[[], None], why_not: Callable[[str], str]) -> None:
        self.reachable: set[Upstream] = set()
        self.reasons: dict[Upstream, str] = {}
        self._on_change = on_change
        self._why_not = why_not
        self._tasks: dict[Upstream, asyncio.Task[None]] = {}
        self._connections = asyncio.Semaphore(MOST_AT_ONCE)

    def probe(self, replicas: Collection[Upstream]) -> None:
        """Probe exactly these replicas until each answers, and drop others."""
        for gone in self._tasks.keys() - set(replicas):
            self._tasks.pop(gone).cancel()
            self.reachable.discard(gone)
            self.reasons.pop(gone, None)
        for replica in replicas:
            if replica not in self._tasks:
                self._tasks[replica] = asyncio.create_task(self._probe_until_reachable(replica))

    async def settle(self) -> bool:
        """Wait a moment for replicas that were not tried before.

        So a route opens together with its replicas, and a replica takes over in one step. Returns
        whether there were any.
        """
        new = [task for each, task in self._tasks.items() if each not in self.reasons]
        if new:
            await asyncio.wait(new, timeout=SETTLE_SECONDS)
        return bool(new)

    async def _probe_until_reachable(self, replica: Upstream) -> None:
        backoff = Backoff(first_seconds=FIRST_PAUSE_SECONDS, longest_seconds=LONGEST_PAUSE_SECONDS)
        while reason := await self._connect(replica.address):
            if self.reasons.get(replica) != reason:
                self.reasons[replica] = reason
                self._on_change()
            await asyncio.sleep(backoff.next())
        self.reasons.pop(replica, None)
        self.reachable.add(replica)
        self._on_change()

    async def _connect(self, address: str) -> str:
        if reason := self._why_not(address):
            return reason
        host, _, port = address.rpartition(":")
        try:
            async with self._connections, asyncio.timeout(CONNECT_SECONDS):
                _, writer = await asyncio.open_connection(host, int(port))
        except TimeoutError:
            return f"no connection to {address} within {CONNECT_SECONDS:g} s"
        except OSError as error:
            return f"no connection to {address}: {error.strerror or error}"
        writer.close()
        return ""
