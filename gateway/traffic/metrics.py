"""The gateway's page for Prometheus, on a unix socket that HAProxy leads `/-/metrics` to.

Only callers on this machine get there. HAProxy's own metrics are at `/-/metrics/haproxy`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from aiohttp import web

from gateway.schema import LATENCY_BOUNDS_MS, LATENCY_BOUNDS_US, Load, Table
from gateway.traffic.counters import Key, Values
from gateway.traffic.latency import Histogram, Times

SOCKET = "metrics.sock"
TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
PREFIX = "dstack_gateway"

# Written for every endpoint, so that a dashboard finds them whatever the times are.
ALWAYS = frozenset(LATENCY_BOUNDS_US.index(bound_ms * 1000) for bound_ms in LATENCY_BOUNDS_MS)
LE = [f"{bound_us / 1_000_000:.10g}" for bound_us in LATENCY_BOUNDS_US]

# As they are written: ids and names are of few characters (see gateway.schema), so nothing needs
# escaping.
Labels = str
Series = Iterable[tuple[str, Labels, float]]


async def serve(home: Path, page: Callable[[], str]) -> None:
    """Serve what `page` says until it is cancelled. Raise OSError."""

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(text=page(), headers={"Content-Type": TYPE})
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    app = web.Application()
    app.router.add_get("/-/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(home / SOCKET)).start()
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def page(
    *,
    table: Table,
    sums: Mapping[Key, Values],
    load: Iterable[Load],
    times: Mapping[str, Times],
) -> str:
    """Write everything in Prometheus' text format."""
    who = Names(table)
    rows = [(who.caller(*key), values) for key, values in sorted(sums.items())]
    named = [(who.service(each.endpoint), each) for each in load]
    found = [(who.service(endpoint), each) for endpoint, each in sorted(times.items())]
    families: list[tuple[str, str, str, Series]] = [
        ("requests_total", "counter", "Requests by class of the answer.", requests(rows)),
        ("request_bytes_total", "counter", "Bytes from callers.", one(rows, 8)),
        ("response_bytes_total", "counter", "Bytes to callers.", one(rows, 9)),
        ("model_tokens_total", "counter", "Tokens that model servers reported.", tokens(rows)),
        (
            "requests_in_flight",
            "gauge",
            "Requests whose answer has not ended.",
            [("", labels, each.in_flight) for labels, each in named],
        ),
        (
            "requests_held",
            "gauge",
            "Requests that wait for a replica.",
            [("", labels, each.held) for labels, each in named],
        ),
        (
            "request_duration_seconds",
            "histogram",
            "Time from a request to the last byte of the service's answer.",
            histograms((labels, each.total) for labels, each in found),
        ),
        (
            "time_to_first_byte_seconds",
            "histogram",
            "Time from a request to the first byte of the service's answer.",
            histograms((labels, each.first_byte) for labels, each in found),
        ),
    ]
    return "".join(row for family in families for row in lines(*family))


class Names:
    """What the numbers' owners are called."""

    def __init__(self, table: Table) -> None:
        self._endpoints = {each.id: each for each in table.endpoints}

    def service(self, endpoint: str) -> Labels:
        known = self._endpoints.get(endpoint)
        project, run = (known.project, known.run) if known else ("", "")
        # A run's name may come again; its id does not.
        return f'project="{project}",service="{run}",endpoint="{endpoint}"'

    def caller(self, endpoint: str, key: str) -> Labels:
        return f'{self.service(endpoint)},key="{key}"'


def requests(rows: Iterable[tuple[Labels, Values]]) -> Iterator[tuple[str, Labels, float]]:
    for labels, values in rows:
        for name, count in zip(CLASSES, values[:5], strict=True):
            if count:
                yield "", f'{labels},code="{name}"', count


def tokens(rows: Iterable[tuple[Labels, Values]]) -> Iterator[tuple[str, Labels, float]]:
    for labels, values in rows:
        # Where no answer said its tokens none were measured, which is not 0.
        for name, count in zip(("input", "output"), values[6:8], strict=True):
            if values[5]:
                yield "", f'{labels},direction="{name}"', count


def one(rows: Iterable[tuple[Labels, Values]], place: int) -> Iterator[tuple[str, Labels, float]]:
    return (("", labels, values[place]) for labels, values in rows)


def histograms(found: Iterable[tuple[Labels, Histogram]]) -> Iterator[tuple[str, Labels, float]]:
    for labels, each in found:
        below = 0
        for index in written(each):
            below += each.counts.get(index, 0)
            yield "_bucket", f'{labels},le="{LE[index]}"', below
        total = sum(each.counts.values())
        yield "_bucket", f'{labels},le="+Inf"', total
        yield "_sum", labels, each.sum_us / 1_000_000
        yield "_count", labels, total


def written(histogram: Histogram) -> list[int]:
    """Return the bounds to write: of all buckets that hold something both, so that a quantile is as
    exact as if there were all, at a tenth of the lines."""
    filled = histogram.counts.keys()
    bounds = {*filled, *(index - 1 for index in filled if index), *ALWAYS}
    return sorted(bounds - {len(LATENCY_BOUNDS_US)})


def lines(name: str, kind: str, text: str, series: Series) -> Iterator[str]:
    full = f"{PREFIX}_{name}"
    yield f"# HELP {full} {text}\n# TYPE {full} {kind}\n"
    for ending, labels, value in series:
        number = str(value) if isinstance(value, int) else f"{value:.15g}"
        yield f"{full}{ending}{{{labels}}} {number}\n"
