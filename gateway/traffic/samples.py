"""HAProxy's samples as they come: lines on a unix socket, which HAProxy connects to.

HAProxy keeps what it cannot send (1 MiB), so a sidecar that starts anew misses at most what was on
its way when the last one was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.traffic import token_usage
from gateway.traffic.latency import Sample, parse
from gateway.traffic.token_usage import TokenUsage

SOCKET = "samples.sock"
# Ours are shorter by far; what is longer is no sample.
MOST_LINE_BYTES = 4096


class Lines(asyncio.Protocol):
    """Cuts one connection's bytes into lines."""

    def __init__(self, take: Callable[[Sample], None], count: Callable[[TokenUsage], None]) -> None:
        self._take = take
        self._count = count
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MOST_LINE_BYTES else b""
        for each in lines:
            text, said = token_usage.parse(each.decode("ascii", errors="replace"))
            if sample := parse(text):
                self._take(sample)
            if said:
                self._count(said)


async def listen(
    home: Path, take: Callable[[Sample], None], count: Callable[[TokenUsage], None]
) -> None:
    """Give each sample to `take`, and what it says was used to `count`, until cancelled.

    Raise OSError.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Lines(take, count), home / SOCKET)
    async with server:
        await server.serve_forever()
