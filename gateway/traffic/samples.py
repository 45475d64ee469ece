"""HAProxy's samples as they come: lines on a unix socket, which HAProxy connects to.

HAProxy keeps what it cannot send (1 MiB), so a sidecar that starts anew misses at most what was on
its way when the last one was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from gateway.traffic.latency import Sample, parse

SOCKET = "samples.sock"
# Ours are shorter by far; what is longer is no sample.
MOST_LINE_BYTES = 4096


class Lines(asyncio.Protocol):
    """Cuts one connection's bytes into lines."""

    def __init__(self, take: Callable[[Sample], None]) -> None:
        self._take = take
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest if len(rest) <= MOST_LINE_BYTES else b""
        for each in lines:
            if sample := parse(each.decode("ascii", errors="replace")):
                self._take(sample)


async def listen(home: Path, take: Callable[[Sample], None]) -> None:
    """This function will give each sample to `take` until it is cancelled. Raises OSError."""
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Lines(take), home / SOCKET)
    async with server:
        await server.serve_forever()
