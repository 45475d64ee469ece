"""Thousands who say nothing, or little and slowly, take nothing from the people who work."""

from __future__ import annotations

import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.e2e import stack as stacks
from tests.e2e.stack import Stack


class Kind(NamedTuple):
    """Callers of one kind: what each says at first and then each second, and who ends it.

    `seconds` is how long each may hold a connection, with time for a busy machine to notice; None
    where that is longer than a test may take.
    """

    callers: int
    says: bytes
    drip: bytes
    seconds: float | None


def slow_body(length: int) -> bytes:
    head = b"POST /sign-in/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\na"
    return head % length


KINDS = {
    "silent": Kind(2500, b"", b"", 15 + 15),
    "half a head": Kind(2000, b"GET / HTTP/1.1\r\nHost: local", b"", 15 + 15),
    "short slow body": Kind(250, slow_body(10_000), b"x", 20 + 15),
    # Ended after a minute: see tests/integration/front.
    "long slow body": Kind(250, slow_body(100_000), b"x", None),
}
# Most of them, 3,000, come from where the people work, too.
SOURCES = [*["127.0.0.1"] * 3, "127.0.0.2", "127.0.0.3"]
ROUNDS = 10
# What a busy machine adds to any answer; who is locked out waits much longer.
NOISE_SECONDS = 1.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = stacks.new(tmp_path_factory.mktemp("silent"))
    yield running
    running.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def longest_of_most(stack: Stack) -> float:
    """How long people wait for a page and the API, each on a new connection: 95 of 100."""
    pages = ("/sign-in/", "/readyz", "/api/projects/main/runs")
    headers = {**stack.bearer(), "Connection": "close"}
    times = []
    with httpx.Client(base_url=stack.url, headers=headers, timeout=20) as client:
        for page in pages * ROUNDS:
            began = time.monotonic()
            answer = client.get(page)
            assert answer.status_code == 200, (page, answer.status_code)
            times.append(time.monotonic() - began)
    return sorted(times)[int(len(times) * 0.95)]


class Crowd:
    """Connections of all kinds, watched together by one selector."""

    def __init__(self, stack: Stack, held: ExitStack) -> None:
        self._watched = held.enter_context(selectors.DefaultSelector())
        self.began = time.monotonic()
        for name, kind in KINDS.items():
            for number in range(kind.callers):
                source = (SOURCES[number % len(SOURCES)], 0)
                address = ("127.0.0.1", stack.port)
                connection = socket.create_connection(address, timeout=10, source_address=source)
                held.enter_context(connection)
                connection.sendall(kind.says)
                connection.setblocking(False)
                self._watched.register(connection, selectors.EVENT_READ, name)

    def open(self) -> Counter[str]:
        return Counter(key.data for key in self._watched.get_map().values())

    def watch(self, seconds: float) -> None:
        """Note for a while who is told something, which is the end."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._watched.select(left):
                self._watched.unregister(key.fileobj)

    def drip(self) -> None:
        for key in self._watched.get_map().values():
            # What is closed tells it when it is read.
            with suppress(OSError):
                assert isinstance(key.fileobj, socket.socket)
                key.fileobj.send(KINDS[key.data].drip)

    def late(self) -> list[str]:
        """Name the kinds that are open though their time is over."""
        age = time.monotonic() - self.began
        return [
            name for name in self.open() if (most := KINDS[name].seconds) is not None and age > most
        ]

    def is_over(self) -> bool:
        return not any(KINDS[name].seconds is not None for name in self.open())


def test_people_work_on_while_others_say_nothing(stack: Stack) -> None:
    usual_seconds = longest_of_most(stack)
    with ExitStack() as held:
        crowd = Crowd(stack, held)
        crowd.watch(0.1)
        assert crowd.open().total() > 0.9 * sum(kind.callers for kind in KINDS.values())

        assert longest_of_most(stack) < 2 * usual_seconds + NOISE_SECONDS
        while not crowd.is_over():
            crowd.watch(1.0)
            crowd.drip()
            assert crowd.late() == []
        # Nobody is taken for another kind: these have a minute.
        assert crowd.open()["long slow body"] == KINDS["long slow body"].callers


def test_agent_and_gateway_went_on(stack: Stack) -> None:
    """Nobody of ours hung or ended in all this."""
    said: str = Path(stack.log).read_text()

    assert "ended" not in said
    assert "has not answered" not in said
