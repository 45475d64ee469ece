"""Where the bytes of a request that waits are, and in which order they come back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.hold.body import MOST_BYTES_IN_MEMORY, Body, NoCapacity
from gateway.hold.disk import Spool

pytestmark = pytest.mark.asyncio

LONG = b"l" * (MOST_BYTES_IN_MEMORY + 1)


@dataclass
class Capacity:
    """Bounds that a test sets; `is_nearly_full` makes the disk take nothing."""

    folder: Path
    pool: ThreadPoolExecutor
    memory: bool = True
    disk: bool = True
    is_nearly_full: bool = False

    def has_memory(self) -> bool:
        return self.memory

    def has_disk(self, more_bytes: int) -> bool:
        return self.disk

    def begin_spool(self) -> Spool:
        least = 2**60 if self.is_nearly_full else 0
        return Spool(self.folder, writers=self.pool, readers=self.pool, least_free_bytes=least)


@pytest.fixture
def capacity(tmp_path: Path) -> Iterator[Capacity]:
    with ThreadPoolExecutor(1) as pool:
        yield Capacity(tmp_path, pool)


async def content(body: Body) -> bytes:
    return b"".join([bytes(piece) async for piece in body.pieces()])


@pytest.mark.parametrize(
    ("sent", "memory", "disk", "on_disk"),
    [
        (b"short", True, True, False),
        (LONG, True, True, True),
        (LONG, True, False, False),
        (b"short", False, True, True),
    ],
)
async def test_finds_a_place(
    sent: bytes, memory: bool, disk: bool, on_disk: bool, capacity: Capacity
) -> None:
    capacity.memory, capacity.disk = memory, disk
    body = Body(capacity)
    body.add(sent)

    assert body.must_spool() is on_disk


@pytest.mark.parametrize("sent", [b"short", LONG])
async def test_has_no_place_in_neither(sent: bytes, capacity: Capacity) -> None:
    capacity.memory = capacity.disk = False
    body = Body(capacity)
    body.add(sent)

    with pytest.raises(NoCapacity):
        body.must_spool()


async def test_gives_what_is_on_disk_first(capacity: Capacity) -> None:
    body = Body(capacity)
    body.add(LONG)
    await body.spool()
    body.add(b"second")
    again = body.must_spool()
    await body.spool()
    in_memory = body.memory_bytes
    capacity.disk = False
    body.add(b"third")

    assert (again, in_memory, body.must_spool()) == (True, 0, False)
    assert await content(body) == LONG + b"secondthird"
    assert body.memory_bytes == 0


async def test_goes_on_in_memory_where_the_disk_is_nearly_full(capacity: Capacity) -> None:
    capacity.is_nearly_full = True
    body = Body(capacity)
    body.add(LONG)
    await body.spool()
    body.add(b"more")

    assert body.must_spool() is False
    assert await content(body) == LONG + b"more"


async def test_has_no_place_where_the_memory_is_full_as_well(capacity: Capacity) -> None:
    capacity.is_nearly_full, capacity.memory = True, False
    body = Body(capacity)
    body.add(LONG)

    with pytest.raises(NoCapacity):
        await body.spool()


async def test_gives_what_comes_meanwhile(capacity: Capacity) -> None:
    body = Body(capacity)
    body.add(b"first")
    pieces = body.pieces()
    first = bytes(await anext(pieces))
    body.add(b"second")

    assert (first, b"".join([bytes(piece) async for piece in pieces])) == (b"first", b"second")
