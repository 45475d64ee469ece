"""What rate limits have charged, copied from HAProxy each second, for the next one.

So a HAProxy that starts anew, in an orderly way or after a crash, gives nobody more than a second's
worth twice. Only what is not idle yet is kept: for most limits what the last seconds charged.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError

from gateway import limits
from gateway.errors import HaproxyFailed, RuntimeRefused
from gateway.haproxy import process
from gateway.haproxy.runtime import Command, Runtime, line
from gateway.limits import Charge
from gateway.schema import Endpoint, Table

log = logging.getLogger(__name__)

FILE = "limits.json"
LOOK_SECONDS = 1.0
# Where a look takes long, as with very many callers, the sidecar has other things to do as well.
MOST_SHARE_OF_TIME = 0.1
MOST_ROWS = 50_000


class Kept(BaseModel):
    """The file: which HAProxy the rows are from, and by name what was charged since when."""

    haproxy: str = ""
    rows: dict[str, Charge] = {}


class Charges:
    """Keeps the rows of HAProxy's table `limits`, and gives them to a HAProxy that has none."""

    def __init__(self, *, home: Path, runtime: Runtime, table: Callable[[], Table]) -> None:
        self._home = home
        self._runtime = runtime
        self._table = table
        self._started = asyncio.Event()
        self._kept = read(home)
        self._written: Kept | None = None
        self._led = ""
        self._paces: dict[str, str] = {}
        self._paces_of: list[Endpoint] | None = None

    def haproxy_started(self) -> None:
        """This function will see to it that a new HAProxy knows soon what the last one knew."""
        self._started.set()

    async def run(self) -> None:
        """This function will keep and give back until it is cancelled."""
        try:
            while True:
                began = time.monotonic()
                await self._step()
                took = time.monotonic() - began
                await self._rest(max(LOOK_SECONDS - took, took / MOST_SHARE_OF_TIME))
        except asyncio.CancelledError:
            # An orderly end: nothing of the last second is lost.
            await self._step()
            raise

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._started.wait()
        except TimeoutError:
            return

    async def _step(self) -> None:
        self._started.clear()
        try:
            haproxy = name_of(process.running(self._home))
            if haproxy:
                await self._follow(haproxy)
        except (HaproxyFailed, RuntimeRefused) as error:
            log.debug("what rate limits have charged cannot be read: %s", error)
        except OSError as error:
            log.warning("what rate limits have charged cannot be stored: %s", error)

    async def _follow(self, haproxy: str) -> None:
        is_new = haproxy != self._led
        if is_new and haproxy != self._kept.haproxy:
            await self._give(self._alive(self._kept.rows))
        only = "" if is_new else " data.http_req_rate gt 0"
        found = dict(parse(await self._runtime.ask(f"show table limits{only}")))
        if name_of(process.running(self._home)) != haproxy:
            return
        self._led = haproxy
        self._kept = Kept(haproxy=haproxy, rows=self._alive({**self._kept.rows, **found}))
        if self._kept != self._written:
            process.write_whole(self._home / FILE, self._kept.model_dump_json())
            self._written = self._kept

    async def _give(self, rows: Mapping[str, Charge]) -> None:
        template = "set table limits key {} data.gpc {} data.gpt {}"
        await self._runtime.do(
            *(Command(line(template, name, row.requests, row.start)) for name, row in rows.items())
        )

    def _alive(self, rows: Mapping[str, Charge]) -> dict[str, Charge]:
        """Those that are not idle yet, and of too many those with the latest start."""
        endpoints = self._table().endpoints
        if endpoints is not self._paces_of:
            self._paces, self._paces_of = limits.paces(endpoints), endpoints
        now_us = time.time_ns() // 1000
        alive = {
            name: row
            for name, row in rows.items()
            if (its_pace := limits.pace_of(name, self._paces)) is not None
            and not limits.is_idle(row, its_pace, now_us=now_us)
        }
        if len(alive) <= MOST_ROWS:
            return alive
        return dict(heapq.nlargest(MOST_ROWS, alive.items(), key=lambda item: item[1].start))


def parse(text: str) -> Iterator[tuple[str, Charge]]:
    """This function will read what `show table limits` answers."""
    for row in text.splitlines():
        _, found, fields = row.partition(": key=")
        if found:
            name, *pairs = fields.split()
            values = dict(pair.split("=", 1) for pair in pairs)
            yield name, Charge(int(values.get("gpc0", 0)), int(values.get("gpt0", 0)))


def name_of(running: process.Process | None) -> str:
    """This function will name a HAProxy differently from all others; empty if none runs."""
    return f"{process.boot_id()}:{running.pid}:{running.started_ticks}" if running else ""


def read(home: Path) -> Kept:
    """This function will read what an earlier sidecar kept."""
    try:
        return Kept.model_validate_json((home / FILE).read_bytes())
    except FileNotFoundError:
        return Kept()
    except (OSError, ValidationError) as error:
        log.warning("what rate limits have charged cannot be read: %s", error)
        return Kept()
