"""Bodies on disk, and how much of it they take."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from gateway.hold.disk import PIECE_BYTES, Disk, Spool

pytestmark = pytest.mark.asyncio


async def test_gives_back_what_was_added(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    parts = [b"a" * PIECE_BYTES, b"b" * 10, b"c" * (PIECE_BYTES * 2)]
    for part in parts:
        await spool.add(part)
    pieces = [piece async for piece in spool.pieces()]

    assert b"".join(pieces) == b"".join(parts)
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert list(tmp_path.iterdir()) == []


async def test_leaves_some_of_the_disk_free(tmp_path: Path) -> None:
    spool = Spool(tmp_path, least_free_bytes=2**60)
    with pytest.raises(OSError, match="No space left") as raised:
        await spool.add(b"x")

    assert raised.value.errno == errno.ENOSPC


async def test_counts_by_service_until_closed(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    first, second, other = disk.begin(1), disk.begin(1), disk.begin(2)
    for spool in (first, second, other):
        await spool.add(b"x" * 100)
    before = (disk.used_bytes(1), disk.used_bytes(2), disk.used_bytes(3))
    first.close()

    assert before == (200, 100, 0)
    assert (disk.used_bytes(1), disk.used_bytes(2)) == (100, 100)


async def test_counts_what_is_still_being_written(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    adding = asyncio.create_task(disk.begin(1).add(b"x" * 100))
    await asyncio.sleep(0)
    used_bytes = disk.used_bytes(1)
    await adding

    assert used_bytes == 100


async def test_closes_after_the_write_that_is_under_way(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    adding = asyncio.create_task(spool.add(b"x" * 1_000_000))
    await asyncio.sleep(0)
    spool.close()
    await adding

    assert [piece async for piece in spool.pieces()] == []
