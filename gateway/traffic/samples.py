"""HAProxy's samples as they come: lines on a unix socket, which HAProxy connects to.

HAProxy keeps what it cannot send (1 MiB), so a sidecar that starts anew misses at most what was on
its way when the last one was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.state.sample_line import ASKED
from gateway.traffic import token_usage
from gateway.traffic.latency import Sample, parse
from gateway.traffic.token_usage import TokenUsage

SOCKET = "samples.sock"
# Ours are shorter by far; what is longer is no sample.
MOST_LINE_BYTES = 4096


@dataclass(frozen=True)
class Told:
    """Whom a line is for: `time` takes how long an answer took, `count` what it used, and `note`
    the line as it is."""

    time: Callable[[Sample], None]
    count: Callable[[TokenUsage], None]
    note: Callable[[str], None]


class Lines(asyncio.Protocol):
    """Cuts one connection's bytes into lines."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MOST_LINE_BYTES else b""
        for each in lines:
            whole = each.decode("ascii", errors="replace")
            text, said = token_usage.parse(whole.partition(ASKED)[0])
            if sample := parse(text):
                self._told.time(sample)
            if said:
                self._told.count(said)
            self._told.note(whole)


async def listen(home: Path, told: Told) -> None:
    """Tell of each line until cancelled. Raise OSError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Lines(told), home / SOCKET)
    async with server:
        await server.serve_forever()
