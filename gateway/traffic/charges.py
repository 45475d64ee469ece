"""What rate limits have charged, copied from HAProxy each second, for the next one.

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

from gateway import limits
from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy import process
from gateway.haproxy.runtime import Command, Runtime, line
from gateway.haproxy.tables import rows
from gateway.limits import Charge
from gateway.schema import Endpoint, Table

log = logging.getLogger(__name__)

FILE = "limits.json"
LOOK_SECONDS = 1.0
# HAProxy tells which rows changed in the last 10 s, by a rate that fades: later, all are read.
MOST_SECONDS_BETWEEN = 4.0
FULL_LOOKS = 60
MOST_ROWS = 20_000
# No charge is worth more; see `limits.MOST_TOLERANCE_US`.
MOST_AGE_SECONDS = limits.MOST_TOLERANCE_US / limits.SECOND_US


class Kept(BaseModel):
    """The file: which HAProxy the rows are from, when (seconds since 1970), and what they say."""

    haproxy: str = ""
    at: float = 0.0
    rows: dict[str, Charge] = {}


class Charges:
    """Keeps the rows of HAProxy's table `limits`, and gives them to a HAProxy that has none."""

    def __init__(self, *, home: Path, runtime: Runtime, table: Callable[[], Table]) -> None:
        self._home = home
        self._runtime = runtime
        self._table = table
        self._started = asyncio.Event()
        self._kept = read(home)
        self._given_to = self._kept.haproxy
        self._looks = 0
        self._looked_at = float("-inf")
        self._paces: dict[str, str] = {}
        self._paces_of: list[Endpoint] | None = None
        self._is_stored = True
        # A look that was given up may still be at it.
        self._keeping = threading.Lock()

    def haproxy_started(self) -> None:
        """This function will see to it that a new HAProxy knows soon what the last one knew."""
        self._started.set()

    async def run(self) -> None:
        """This function will keep and give back until it is cancelled."""
        while True:
            began = time.monotonic()
            self._started.clear()
            await self.look()
            try:
                async with asyncio.timeout(max(began + LOOK_SECONDS - time.monotonic(), 0.1)):
                    await self._started.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """This function will give what HAProxy lacks, and keep what it has."""
        try:
            haproxy = process.name_of_running(self._home)
            if haproxy is not None:
                await self._follow(haproxy)
        except (HaproxyFailed, RuntimeRefused) as error:
            log.debug("what rate limits have charged cannot be read: %s", error)
        except OSError as error:
            # Once, not each second.
            if self._is_stored:
                log.warning("what rate limits have charged cannot be stored: %s", error)
            self._is_stored = False

    async def _follow(self, haproxy: str) -> None:
        began, paces_are_new = time.monotonic(), self._learn_paces()
        if haproxy != self._given_to:
            charged = await asyncio.to_thread(self._alive, self._kept.rows)
            try:
                await self._give(charged)
            except RuntimeRefused as error:
                # Not given again: what is charged from here on is newer.
                log.warning("HAProxy does not take what rate limits have charged: %s", error)
            self._given_to, self._looked_at = haproxy, float("-inf")
        is_late = began - self._looked_at > MOST_SECONDS_BETWEEN
        is_whole = is_late or paces_are_new or self._looks % FULL_LOOKS == 0
        only = "" if is_whole else " data.http_req_rate gt 0"
        answer = await self._runtime.ask(f"show table limits{only}")
        if process.name_of_running(self._home) != haproxy:
            return
        # In a thread, so that many rows hold up nobody.
        await asyncio.to_thread(self._keep, haproxy, answer)
        self._looks, self._looked_at = self._looks + 1, began

    def _learn_paces(self) -> bool:
        endpoints = self._table().endpoints
        if endpoints is self._paces_of:
            return False
        self._paces, self._paces_of = limits.paces(endpoints), endpoints
        return True

    async def _give(self, charged: Mapping[str, Charge]) -> None:
        template = "set table limits key {} data.gpc {} data.gpt {}"
        await self._runtime.do(
            *(
                Command(line(template, name, row.requests, row.start))
                for name, row in charged.items()
            )
        )

    def _keep(self, haproxy: str, answer: str) -> None:
        with self._keeping:
            alive = self._alive({**self._kept.rows, **dict(parse(answer))})
            is_new = haproxy != self._kept.haproxy or alive != self._kept.rows
            self._kept = Kept(haproxy=haproxy, at=time.time(), rows=alive)
            if is_new or not self._is_stored:
                process.write_whole(self._home / FILE, self._kept.model_dump_json())
                self._is_stored = True

    def _alive(self, charged: Mapping[str, Charge]) -> dict[str, Charge]:
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
    """This function will read what `show table limits` answers."""
    for name, (requests, start) in rows(text, ("gpc0", "gpt0")):
        yield name, Charge(requests, start)


def read(home: Path) -> Kept:
    """This function will read what an earlier sidecar kept, if it still says anything."""
    try:
        kept = Kept.model_validate_json((home / FILE).read_bytes())
    except FileNotFoundError:
        return Kept()
    except (OSError, ValidationError) as error:
        log.warning("what rate limits have charged cannot be read: %s", error)
        return Kept()
    return kept if time.time() - kept.at < MOST_AGE_SECONDS else Kept()
