"""P5: SSE streams of a chat, 64 events 20 ms apart: gateway, plain HAProxy and direct.

    python -m tests.bench.streams_p5 [--rounds 5]

They are asked for at the OpenAI host, which finds the service by the body's model; rounds of all
three are interleaved. Once with 100 streams always under way, each begun when another one ends,
and once with 100 and with 1,000 asked for at the same moment. It prints the time to the first
event, the longest time that any stream stood still between two events, and how many did so for
more than 200 ms. Nothing is pinned: gateway, server and caller share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.schema import Model
from tests.bench import gateway_stage as stage
from tests.bench.streams_app import EVENTS, PACE_MS
from tests.fakes.control_plane_gateway import service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE

STALL_MS = 200
# Streams of a round, and the pause before the next one begins.
SHAPES = {
    "100 streams under way, one begun each 13 ms": (300, EVENTS * PACE_MS / 100 / 1000),
    "100 streams at once": (100, 0.0),
    "1,000 streams at once": (1000, 0.0),
}
ROUND_SECONDS = 30
ASKED = json.dumps(
    {
        "model": "m",
        "stream": True,
        "messages": [{"role": "user", "content": "What is recursion? " * 8}],
    }
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.localhost\r\n"
    b"Authorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
) % (ALICE.encode(), len(ASKED), ASKED)


@dataclass
class Stream:
    """What the caller saw of one: milliseconds to its first event, and when each piece came."""

    events: int = 0
    first_ms: float = 0.0
    longest_gap_ms: float = 0.0
    _last: float = 0.0
    _unread: bytes = field(default=b"")

    def feed(self, piece: bytes, now: float, asked_at: float) -> bool:
        """Count what came, and say if the stream is over.

        Raise RuntimeError where it is no 200.
        """
        text = self._unread + piece
        found = text.count(b"\n\n")
        if found:
            if self.events:
                self.longest_gap_ms = max(self.longest_gap_ms, (now - self._last) * 1000)
            else:
                self.first_ms = (now - asked_at) * 1000
                if not text.startswith(b"HTTP/1.1 200 "):
                    raise RuntimeError(text.decode())
            self._last = now
            self.events += found
        self._unread = text.rpartition(b"\n\n")[2]
        return text.endswith(b"0\r\n\r\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streams-p5-") as folder:
        asyncio.run(measure(Path(folder), rounds=options.rounds))


async def measure(folder: Path, *, rounds: int) -> None:
    port, plain = free_port(), free_port()
    endpoint = service("chat", f"127.0.0.1:{port}", model=Model(name="m"))
    config = stage.PLAIN.format(port=plain, upstream=port)
    with served(port), stage.haproxy(folder, "plain", config, stage.MEASURED_CORE) as plain_pid:
        async with stage.gateway(
            folder / "gateway", endpoints=[endpoint], keys=stage.full_keys(20_000)
        ) as gateway:
            process = gateway.haproxy()
            if process is None:
                raise RuntimeError("the gateway ended")
            for pid in (process.pid, plain_pid):
                unpin(pid)
            ports = {"direct": port, "plain HAProxy": plain, "gateway": gateway.port}
            for title, (count, pause_seconds) in SHAPES.items():
                found: dict[str, list[list[Stream]]] = {name: [] for name in ports}
                for number in range(rounds + 1):
                    for name, where in ports.items():
                        streams = await asyncio.to_thread(one_round, where, count, pause_seconds)
                        # The first round only warms up.
                        if number:
                            found[name].append(streams)
                show(title, found)


def unpin(pid: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), os.sched_getaffinity(0))


@contextlib.contextmanager
def served(port: int) -> Iterator[None]:
    child = subprocess.Popen([sys.executable, "-m", "tests.bench.streams_app", str(port)])
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def one_round(port: int, count: int, pause_seconds: float) -> list[Stream]:
    """Ask for `count` streams and follow them to their ends.

    Raise RuntimeError where one is not whole.
    """
    streams = [Stream() for _ in range(count)]
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        unasked = deque(socket.create_connection(("127.0.0.1", port)) for _ in streams)
        for sock, stream in zip(unasked, streams, strict=True):
            stack.enter_context(sock)
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ, stream)
        follow(selector, unasked, pause_seconds)
    if any(stream.events != EVENTS for stream in streams):
        raise RuntimeError("a stream was not whole")
    return streams


def follow(
    selector: selectors.BaseSelector, unasked: deque[socket.socket], pause_seconds: float
) -> None:
    asked_at: dict[int, float] = {}
    left, begun = len(unasked), time.perf_counter()
    due = begun
    while left:
        if time.perf_counter() > begun + ROUND_SECONDS:
            raise RuntimeError(f"{left} streams have not ended")
        while unasked and due <= time.perf_counter():
            asked = unasked.popleft()
            asked_at[asked.fileno()] = time.perf_counter()
            asked.send(REQUEST)
            due += pause_seconds
        wait = max(due - time.perf_counter(), 0) if unasked else 1
        for key, _ in selector.select(wait):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            piece = sock.recv(65_536)
            if key.data.feed(piece, time.perf_counter(), asked_at[key.fd]) or not piece:
                selector.unregister(sock)
                left -= 1


def show(title: str, found: dict[str, list[list[Stream]]]) -> None:
    """Print a row for each way: first events are medians of the rounds."""
    print(f"\n{title}, {len(found['direct'])} rounds\n")
    print("| | first event p50 ms | p99 ms | longest pause ms | pauses > 200 ms |")
    print("|---|---|---|---|---|")
    for name, rounds in found.items():
        firsts = [sorted(each.first_ms for each in streams) for streams in rounds]
        p50 = statistics.median(each[len(each) // 2] for each in firsts)
        p99 = statistics.median(each[int(len(each) * 0.99) - 1] for each in firsts)
        gaps = [each.longest_gap_ms for streams in rounds for each in streams]
        stalls = sum(gap > STALL_MS for gap in gaps)
        print(f"| {name} | {p50:.1f} | {p99:.1f} | {max(gaps):.0f} | {stalls} |")


if __name__ == "__main__":
    main()
