"""Counters, scraped each second, sent to the control plane, shown to Prometheus."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.control import sync
from gateway.control.client import ControlPlane
from gateway.errors import BadConfig, ControlPlaneError, HaproxyFailed
from gateway.haproxy import process
from gateway.haproxy.runtime import Runtime
from gateway.schema import Counts, Load, Request, Stats, Table, Unanswered
from gateway.state.slots import Layout
from gateway.traffic import backlog, checkpoint, metrics, samples
from gateway.traffic.counters import Counters, Key, Values
from gateway.traffic.latency import Sample, Times
from gateway.traffic.replica_load import add_replicas
from gateway.traffic.requests.waiting import Requests
from gateway.traffic.throttle import ReportThrottle
from gateway.traffic.token_usage import TokenUsage
from gateway.traffic.unanswered import UnansweredRequests

log = logging.getLogger(__name__)

SCRAPE_SECONDS = 1.0


def nothing_held() -> dict[str, int]:
    return {}


class Events(NamedTuple):
    """What happened since the scrape before, told once."""

    unanswered: list[Unanswered]
    requests: list[Request]


class Traffic:
    """What the gateway's services were asked and answered.

    `table` and `layout` give those in force; `held` counts by endpoint the requests that wait in
    the sidecar.
    """

    def __init__(
        self,
        *,
        home: Path,
        runtime: Runtime,
        control: ControlPlane,
        table: Callable[[], Table],
        layout: Callable[[], Layout],
        held: Callable[[], dict[str, int]] = nothing_held,
    ) -> None:
        self._home = home
        self._runtime = runtime
        self._control = control
        self._table = table
        self._layout = layout
        self._held = held
        self._unanswered = UnansweredRequests(runtime=runtime, layout=layout)
        self._requests = Requests(table=table, layout=layout)
        self._boot_id = ""
        self._counters = Counters()
        # Told before it is known which HAProxy this is.
        self._early: list[TokenUsage] = []
        self._stored: dict[Key, Values] = {}
        self._times: dict[str, Times] = {}
        self._changed_times: set[str] = set()
        self._load: list[Load] = []
        self._backlog = backlog.Backlog()
        self._news = asyncio.Event()
        self._throttle = ReportThrottle()

    async def run(self) -> None:
        """Count until it is cancelled. Raise OSError."""
        async with asyncio.TaskGroup() as group:
            group.create_task(samples.listen(self._home, self._told()))
            group.create_task(metrics.serve(self._home, self._page))
            group.create_task(self._scrape_each_second())
            group.create_task(self._send())

    def count_tokens(self, key: Key, tokens_in: int, tokens_out: int) -> None:
        """Count what an answer used that HAProxy did not count."""
        if tokens_in or tokens_out:
            endpoint, key_id = key
            self._take_token_usage(TokenUsage(endpoint, key_id, tokens_in, tokens_out))

    def _told(self) -> samples.Told:
        return samples.Told(
            time=self._take_sample,
            count=self._take_token_usage,
            note=lambda line: self._requests.take(line, at=time.time()),
        )

    def _take_token_usage(self, usage: TokenUsage) -> None:
        if not self._boot_id:
            self._early.append(usage)
            return
        self._counters.add_tokens(
            (usage.endpoint, usage.key), tokens_in=usage.tokens_in, tokens_out=usage.tokens_out
        )

    def _take_sample(self, sample: Sample) -> None:
        self._times.setdefault(sample.endpoint, Times()).add(sample)
        self._changed_times.add(sample.endpoint)

    async def _scrape_each_second(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self._scrape()
            except HaproxyFailed as error:
                log.debug("the counters could not be read: %s", error)
            except OSError as error:
                log.error("the histograms could not be stored: %s", error)
            await asyncio.sleep(max(began + SCRAPE_SECONDS - time.monotonic(), 0.1))

    async def _scrape(self) -> None:
        boot_id = process.name_of_running(self._home)
        if boot_id is None:
            return
        if boot_id != self._boot_id:
            self._begin(boot_id)
        changed = await self._counters.scrape(self._runtime)
        if process.name_of_running(self._home) != boot_id:
            # Of which HAProxy this was is not known: the next scrape begins anew.
            self._boot_id = ""
            return
        carried = dict(self._counters.carried)
        if self._changed_times or carried != self._stored:
            checkpoint.write(self._home, boot_id=boot_id, carried=carried, times=self._times)
            self._stored = carried
        load = endpoint_load(self._counters.in_flight, self._held())
        load = await add_replicas(runtime=self._runtime, layout=self._layout(), load=load)
        events = Events(await self._unanswered.news(), self._requests.news())
        self._note(changed, load, events)

    def _begin(self, boot_id: str) -> None:
        carried, times = checkpoint.read(self._home, boot_id=boot_id)
        self._counters, self._stored = Counters(carried=carried), dict(carried)
        self._boot_id = boot_id
        self._unanswered.begin()
        early, self._early = self._early, []
        for each in early:
            self._take_token_usage(each)
        self._times = times
        self._changed_times = set(times)

    def _note(self, changed: dict[Key, Values], load: list[Load], events: Events) -> None:
        scrape = Stats(
            boot_id=self._boot_id,
            sequence=sequence(),
            at=time.time(),
            counts=[as_counts(key, values) for key, values in changed.items()],
            load=load,
            latency=[self._times[each].as_message(each) for each in self._changed_times],
            unanswered=events.unanswered,
            requests=events.requests,
        )
        is_quiet = not (changed or self._changed_times or load or self._load or any(events))
        for each in self._throttle.due(scrape, is_quiet=is_quiet, at=time.monotonic()):
            self._backlog.add(each)
            self._news.set()
        self._load = load
        self._changed_times = set()

    async def _send(self) -> None:
        retry = sync.Retry()
        while True:
            await self._news.wait()
            scrape = self._backlog.first
            if scrape is None:
                self._news.clear()
                continue
            try:
                for part in backlog.parts(scrape):
                    await self._control.count(part)
            except (ControlPlaneError, BadConfig) as error:
                retry.note(str(error))
                await retry.sleep()
            else:
                retry.reset()
                self._backlog.sent()

    def _page(self) -> str:
        return metrics.page(
            table=self._table(), sums=self._counters.sums(), load=self._load, times=self._times
        )


def sequence() -> int:
    """Return a number that grows, over restarts of the sidecar as well.

    Milliseconds since this machine started: scrapes are a second apart, and HAProxy's boot is never
    older than the machine's.
    """
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def endpoint_load(in_flight: dict[Key, int], held: dict[str, int]) -> list[Load]:
    """Say what is under way at each endpoint; held requests are in flight at
    HAProxy too, and count once."""
    open_requests: dict[str, int] = {}
    for (endpoint, _), count in in_flight.items():
        open_requests[endpoint] = open_requests.get(endpoint, 0) + count
    waiting = {endpoint: count for endpoint, count in held.items() if count}
    return [
        Load(
            endpoint=endpoint,
            in_flight=max(open_requests.get(endpoint, 0) - waiting.get(endpoint, 0), 0),
            held=waiting.get(endpoint, 0),
        )
        for endpoint in sorted(open_requests.keys() | waiting.keys())
    ]


def as_counts(key: Key, values: Values) -> Counts:
    endpoint, key_id = key
    one, two, three, four, five, usages, tokens_in, tokens_out, bytes_in, bytes_out = values
    return Counts(
        endpoint=endpoint,
        key=key_id,
        by_class=(one, two, three, four, five),
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        usages=usages,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )
