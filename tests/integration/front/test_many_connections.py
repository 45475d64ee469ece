"""One address has a bound of connections, so that there are some left for the others."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest

from dstack_web.embedded import ready
from dstack_web.front import config
from dstack_web.front.room import Room
from tests.integration.front.stage import Stage, eventually, is_closed

pytestmark = pytest.mark.timeout(60)
SMALL = Room(connections=100, per_address=60)


def opened(stage: Stage, stack: ExitStack, *, source: str, count: int) -> list[socket.socket]:
    """Those of `count` silent connections that the proxy keeps."""
    made = []
    for _ in range(count):
        try:
            made.append(stack.enter_context(stage.connect(source)))
        except ConnectionError:
            continue
    return [each for each in made if not is_closed(each)]


def test_an_address_has_no_more_than_its_bound(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(room=Room(connections=400, per_address=20))
    stage.start()
    with ExitStack() as stack:
        assert len(opened(stage, stack, source="127.0.0.2", count=30)) == 20
        assert len(opened(stage, stack, source="127.0.0.3", count=10)) == 10
        assert httpx.get(stage.url).status_code == 200

    eventually(lambda: has_room(stage, "127.0.0.2", count=20))


def has_room(stage: Stage, source: str, *, count: int) -> bool:
    with ExitStack() as stack:
        return len(opened(stage, stack, source=source, count=count)) == count


def test_a_proxy_that_one_trusts_has_no_bound_of_its_own(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(room=Room(connections=400, per_address=20), trusted=("127.0.0.2",))
    stage.start()
    with ExitStack() as stack:
        assert len(opened(stage, stack, source="127.0.0.2", count=30)) == 30
        assert len(opened(stage, stack, source="127.0.0.3", count=30)) == 20


def test_a_crowd_leaves_room_for_others(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(room=SMALL)
    stage.start()
    with ExitStack() as stack:
        kept = [
            len(opened(stage, stack, source=f"127.0.0.{number}", count=100)) for number in (2, 3)
        ]

        assert kept[0] == SMALL.per_address
        assert kept[0] + kept[1] <= SMALL.crowd + SMALL.in_crowd
        assert httpx.get(stage.url).status_code == 200
        assert len(opened(stage, stack, source="127.0.0.4", count=20)) == SMALL.in_crowd


def test_a_full_proxy_still_says_that_it_lives(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(room=SMALL)
    stage.start()
    with ExitStack() as stack:
        for number in range(2, 16):
            opened(stage, stack, source=f"127.0.0.{number}", count=SMALL.in_crowd)
        # The next one is not taken from the kernel's queue.
        assert stage.status("/") == 0

        own = config.own_socket(stage.folder / "web.sock")
        assert ready.answers_at(own, path=config.ALIVE_PATH, wanted={200})


def test_a_stream_counts_as_one_connection(new_stage: Callable[..., Stage]) -> None:
    stage = new_stage(room=Room(connections=400, per_address=5))
    stage.start()
    with ExitStack() as stack:
        made = opened(stage, stack, source="127.0.0.2", count=5)
        for each in made:
            each.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
            each.settimeout(10)
            assert each.recv(1000).startswith(b"HTTP/1.1 200 ")

        assert opened(stage, stack, source="127.0.0.2", count=1) == []
