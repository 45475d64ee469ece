"""Requests that are over, as HAProxy's lines tell of them one by one. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass

from gateway.haproxy.config import HOLD_NAME
from gateway.schema import Endpoint, Request
from gateway.state.sample_line import (
    ASKED,
    MOST_PATH_BYTES,
    UNKNOWN,
    USED,
    AskedRequest,
    SampleLine,
    UsedTokens,
)
from gateway.traffic.latency import FAR_US, US_PER_MS

# By the first of HAProxy's two letters; all others are ours.
ENDED_BY = {"-": "", "C": "caller", "c": "timeout", "S": "replica", "s": "timeout", "L": ""}
CALLER_LEFT = 499
MOST_PATH_CHARS = 200
SWITCHED = 101
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
METHOD = re.compile(r"[!-~]{1,16}")
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
INVISIBLE = re.compile(rb"[^!-~]")


@dataclass(frozen=True)
class Ended:
    """A request as a line tells it, of which little is read as long as nobody wants the rest.

    `at` is when the line came, in seconds since 1970.
    """

    at: float
    weight: int
    total_ms: int
    times: SampleLine
    used: UsedTokens
    asked: AskedRequest

    @property
    def endpoint(self) -> str:
        return self.times.endpoint

    @property
    def status(self) -> int:
        if self.ended == "caller" and int(self.times.response) < 0:
            return CALLER_LEFT
        return max(int(self.asked.status), 0)

    @property
    def ended(self) -> str:
        """Who broke off. Whoever ends a WebSocket ends it in its way."""
        if int(self.asked.status) == SWITCHED:
            return ""
        return ENDED_BY.get(self.asked.end[0], "gateway")

    @property
    def has_failed(self) -> bool:
        return self.status >= 500 or self.ended in ("replica", "gateway", "timeout")

    def as_message(
        self, *, endpoint: Endpoint, replica_on: Callable[[str], str], weight: int
    ) -> Request:
        """Tell all of it; `replica_on` knows the replica of a server."""
        asked, times = self.asked, self.times
        is_held = asked.server == HOLD_NAME
        return Request(
            endpoint=self.endpoint,
            at=self.at,
            id=asked.request_id if REQUEST_ID.fullmatch(asked.request_id) else "",
            method=known(asked.method) if METHOD.fullmatch(asked.method) else "",
            path=path_of(asked.path, endpoint),
            status=self.status,
            ended=self.ended,
            key=known(self.used.key)[:64],
            replica=replica_on(asked.served if is_held else asked.server),
            held_ms=self._held_ms(is_held=is_held),
            first_byte_ms=self._first_byte_ms(),
            total_ms=finest(self.total_ms, times.total_us),
            tokens_in=number(asked.tokens_in, self.used.tokens_in),
            tokens_out=number(asked.tokens_out, self.used.tokens_out),
            weight=weight,
        )

    def _held_ms(self, *, is_held: bool) -> float:
        queued = max(int(self.times.queue), 0)
        # A replica behind a translator may say what it likes here.
        if SECONDS.fullmatch(self.asked.held_seconds):
            return float(self.asked.held_seconds) * 1000 + queued
        # Nobody answered: the hold had it until its end.
        return float(self.total_ms) if is_held else float(queued)

    def _first_byte_ms(self) -> float | None:
        times = self.times
        parts = [int(each) for each in (times.request, times.queue, times.connect, times.response)]
        if min(parts) < 0:
            return None
        headers_ms = finest(sum(parts), times.first_us)
        if not re.fullmatch("[0-9]{1,18}", times.first_us, re.ASCII):
            return headers_ms
        # The first piece of a stream may come long after its headers, but not after the end: the
        # clock that tells so exactly may be set meanwhile.
        most = finest(self.total_ms, times.total_us)
        return min(max(headers_ms, int(times.first_us) / US_PER_MS), most)


def parse(line: str, *, at: float) -> Ended | None:
    """Read a line; None for what is no whole one of a service's request."""
    first, _, rest = line.partition(USED)
    second, _, third = rest.partition(ASKED)
    try:
        times, used = SampleLine(*first.split()), UsedTokens(*second.split())
        asked = AskedRequest(*third.split())
        numbers = (times.weight, times.total, times.request, times.queue, times.connect)
        weight, total_ms, *_ = map(int, (*numbers, times.response, asked.status))
    except (TypeError, ValueError):
        return None
    if times.endpoint == UNKNOWN or weight < 0 or total_ms < 0:
        return None
    return Ended(at, weight, total_ms, times, used, asked)


def finest(whole_ms: int, text_us: str) -> float:
    """Return milliseconds as HAProxy counted them, or to the microsecond where that is the same."""
    try:
        exact_us = int(text_us)
    except ValueError:
        return float(whole_ms)
    is_same = exact_us >= 0 and abs(exact_us - whole_ms * US_PER_MS) <= FAR_US
    return exact_us / US_PER_MS if is_same else float(whole_ms)


def known(word: str) -> str:
    return "" if word == UNKNOWN else word


def number(*texts: str) -> int | None:
    return next((int(each) for each in texts if each.isdecimal()), None)


def path_of(encoded: str, endpoint: Endpoint) -> str:
    """Return the service's own path in visible ASCII; of one that was refused it is the caller's,
    with the prefix of a path route."""
    try:
        path = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return ""
    for prefix in endpoint.paths if endpoint.strip_prefix else ():
        if path.startswith(prefix.encode() + b"/"):
            path = path[len(prefix) :]
    text = INVISIBLE.sub(lambda byte: b"%%%02X" % byte[0][0], path).decode("ascii")
    if len(path) <= MOST_PATH_BYTES and len(text) <= MOST_PATH_CHARS:
        return text
    return f"{text[: MOST_PATH_CHARS - 3]}..."
