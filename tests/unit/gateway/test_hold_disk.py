"""Bodies on disk, and how much of it they take."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.hold.disk import PIECE_BYTES, Disk, Spool
from tests.integration.gateway.harness import until

pytestmark = pytest.mark.asyncio


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def spool(pool: ThreadPoolExecutor, tmp_path: Path) -> Spool:
    return Spool(tmp_path, writers=pool, readers=pool)


def open_files(folder: Path) -> int:
    return sum(
        str(number.resolve()).startswith(f"{folder}/") for number in Path("/proc/self/fd").iterdir()
    )


async def test_gives_back_what_was_added(spool: Spool, tmp_path: Path) -> None:
    parts = [b"a" * PIECE_BYTES, b"b" * 10, b"c" * (PIECE_BYTES * 2)]
    for part in parts:
        await spool.add(part)
    pieces = [piece async for piece in spool.pieces()]

    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert list(tmp_path.iterdir()) == []


async def test_leaves_some_of_the_disk_free(pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    spool = Spool(tmp_path, writers=pool, readers=pool, least_free_bytes=2**60)
    with pytest.raises(OSError, match="No space left") as raised:
        await spool.add(b"x")

    assert raised.value.errno == errno.ENOSPC
    assert spool.bytes == 0


async def test_counts_by_service_until_closed(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    first, second, other = disk.begin(1), disk.begin(1), disk.begin(2)
    for spool in (first, second, other):
        await spool.add(b"x" * 100)
    before = (disk.used_bytes(1), disk.used_bytes(2), disk.used_bytes(3))
    first.close()

    assert before == (200, 100, 0)
    assert (disk.used_bytes(1), disk.used_bytes(2)) == (100, 100)


async def test_closes_after_the_write_that_is_under_way(
    pool: ThreadPoolExecutor, spool: Spool, tmp_path: Path
) -> None:
    """A thread never writes to a file number that another file may have by then."""
    await spool.add(b"x")
    go_on = threading.Event()
    pool.submit(go_on.wait)
    adding = asyncio.create_task(spool.add(b"y"))
    await asyncio.sleep(0)
    spool.close()
    while_written = (open_files(tmp_path), spool.bytes)
    go_on.set()
    await adding

    assert while_written == (1, 2)
    await until(lambda: open_files(tmp_path) == 0)


async def test_closes_at_once_where_nothing_is_under_way(spool: Spool, tmp_path: Path) -> None:
    await spool.add(b"x")
    spool.close()

    await until(lambda: open_files(tmp_path) == 0)
    assert [piece async for piece in spool.pieces()] == []
