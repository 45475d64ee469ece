"""Snapshots of what rate limits have charged, from HAProxy each second, for the next one.

So a HAProxy that starts anew, in an orderly way or after a crash, gives nobody more than a second's
worth twice. Only what is not idle yet is kept: for most limits what the last seconds charged.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway import atomic_write
from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy import process
from gateway.haproxy.runtime import Command, Runtime, line
from gateway.haproxy.tables import rows
from gateway.schema import Endpoint, Table
from gateway.state import limits
from gateway.state.limits import Charge

log = logging.getLogger(__name__)

FILE = "limits.json"
SCRAPE_SECONDS = 1.0
# HAProxy tells which rows changed in the last 10 s, by a rate that fades: later, all are read.
MOST_SECONDS_BETWEEN = 4.0
SCRAPES_PER_RESYNC = 60
MOST_ROWS = 20_000
# No charge is worth more; see `limits.MOST_TOLERANCE_US`.
MOST_AGE_SECONDS = limits.MOST_TOLERANCE_US / limits.SECOND_US


class Snapshot(BaseModel):
    """The file: which HAProxy the rows are from, when (seconds since 1970), and what they say."""

    haproxy: str = ""
    at: float = 0.0
    rows: dict[str, Charge] = {}


class RateLimitSnapshots:
    """Keeps the rows of HAProxy's table `limits`, and gives them to a HAProxy that has none."""

    def __init__(self, *, home: Path, runtime: Runtime, table: Callable[[], Table]) -> None:
        self._home = home
        self._runtime = runtime
        self._table = table
        self._started = asyncio.Event()
        self._snapshot = read(home)
        self._restored_to = self._snapshot.haproxy
        self._scrapes = 0
        self._scraped_at = float("-inf")
        self._paces: dict[str, str] = {}
        self._paces_of: list[Endpoint] | None = None
        self._is_stored = True
        # A scrape that was given up may still be at it.
        self._saving = threading.Lock()

    def haproxy_started(self) -> None:
        """See to it that a new HAProxy knows soon what the last one knew."""
        self._started.set()

    async def run(self) -> None:
        """Keep and give back until it is cancelled."""
        while True:
            began = time.monotonic()
            self._started.clear()
            await self.scrape()
            try:
                async with asyncio.timeout(max(began + SCRAPE_SECONDS - time.monotonic(), 0.1)):
                    await self._started.wait()
            except TimeoutError:
                continue

    async def scrape(self) -> None:
        """Give what HAProxy lacks, and keep what it has."""
        try:
            haproxy = process.name_of_running(self._home)
            if haproxy is not None:
                await self._sync(haproxy)
        except (HaproxyFailed, RuntimeRefused) as error:
            log.debug("what rate limits have charged cannot be read: %s", error)
        except OSError as error:
            # Once, not each second.
            if self._is_stored:
                log.warning("what rate limits have charged cannot be stored: %s", error)
            self._is_stored = False

    async def _sync(self, haproxy: str) -> None:
        began, paces_are_new = time.monotonic(), self._learn_paces()
        if haproxy != self._restored_to:
            charged = await asyncio.to_thread(self._active, self._snapshot.rows)
            try:
                await self._restore(charged)
            except RuntimeRefused as error:
                # Not given again: what is charged from here on is newer.
                log.warning("HAProxy does not take what rate limits have charged: %s", error)
            self._restored_to, self._scraped_at = haproxy, float("-inf")
        is_late = began - self._scraped_at > MOST_SECONDS_BETWEEN
        is_whole = is_late or paces_are_new or self._scrapes % SCRAPES_PER_RESYNC == 0
        only = "" if is_whole else " data.http_req_rate gt 0"
        answer = await self._runtime.ask(f"show table limits{only}")
        if process.name_of_running(self._home) != haproxy:
            return
        # In a thread, so that many rows hold up nobody.
        await asyncio.to_thread(self._save, haproxy, answer)
        self._scrapes, self._scraped_at = self._scrapes + 1, began

    def _learn_paces(self) -> bool:
        endpoints = self._table().endpoints
        if endpoints is self._paces_of:
            return False
        self._paces, self._paces_of = limits.paces(endpoints), endpoints
        return True

    async def _restore(self, charged: Mapping[str, Charge]) -> None:
        template = "set table limits key {} data.gpc {} data.gpt {}"
        await self._runtime.do(
            *(
                Command(line(template, name, row.requests, row.start))
                for name, row in charged.items()
            )
        )

    def _save(self, haproxy: str, answer: str) -> None:
        with self._saving:
            active = self._active({**self._snapshot.rows, **dict(parse(answer))})
            is_new = haproxy != self._snapshot.haproxy or active != self._snapshot.rows
            self._snapshot = Snapshot(haproxy=haproxy, at=time.time(), rows=active)
            if is_new or not self._is_stored:
                atomic_write.write_text(self._home / FILE, self._snapshot.model_dump_json())
                self._is_stored = True

    def _active(self, charged: Mapping[str, Charge]) -> dict[str, Charge]:
        """Those that are not idle yet, and of too many those that hold back for the longest."""
        now_us = time.time_ns() // 1000
        ahead = {
            name: ahead_us
            for name, row in charged.items()
            if (its_pace := limits.pace_of(name, self._paces)) is not None
            and (ahead_us := limits.ahead_us(row, its_pace, now_us=now_us)) is not None
        }
        return {
            name: charged[name] for name in heapq.nlargest(MOST_ROWS, ahead, key=ahead.__getitem__)
        }


def parse(text: str) -> Iterator[tuple[str, Charge]]:
    """Read what `show table limits` answers."""
    for name, (requests, start) in rows(text, ("gpc0", "gpt0")):
        yield name, Charge(requests, start)


def read(home: Path) -> Snapshot:
    """Read what an earlier sidecar kept, if it still says anything."""
    try:
        snapshot = Snapshot.model_validate_json((home / FILE).read_bytes())
    except FileNotFoundError:
        return Snapshot()
    except (OSError, ValidationError) as error:
        log.warning("what rate limits have charged cannot be read: %s", error)
        return Snapshot()
    return snapshot if time.time() - snapshot.at < MOST_AGE_SECONDS else Snapshot()
