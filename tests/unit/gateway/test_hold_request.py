"""A held connection between its caller and a replica that reads nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.hold import proxy_header
from gateway.hold.disk import Disk, Spool
from gateway.hold.proxy_header import RequestIdentity
from gateway.hold.request import HeldRequest
from tests.integration.gateway.harness import until

pytestmark = pytest.mark.asyncio

MB = 1_000_000
HEADER = proxy_header.write(
    RequestIdentity(slot=1, attempt=0, caller_address=b"\x20\x00"), seconds=0
)


class Owner:
    """Bounds nothing, and notes who came and left."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder)
        self.held: list[HeldRequest] = []

    def arrived(self, request: HeldRequest) -> None:
        self.held.append(request)

    def left(self, request: HeldRequest) -> None:
        self.held.remove(request)

    def has_memory(self, request: HeldRequest) -> bool:
        return True

    def has_disk(self, request: HeldRequest, more_bytes: int) -> bool:
        return True

    def begin_spool(self, request: HeldRequest) -> Spool:
        return self.disk.begin(1)

    def answered(self, request: HeldRequest) -> None: ...

    def releasing(self, request: HeldRequest) -> None: ...


# One that stays in memory; pieces on disk to the last byte, and one that is cut short.
@pytest.mark.parametrize("waiting_bytes", [900_000, 8 * 256 * 1024, 8 * 256 * 1024 + 200_000])
async def test_takes_no_more_than_the_replica_does(waiting_bytes: int, tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    replicas: list[asyncio.StreamWriter] = []

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        replicas.append(writer)

    loop = asyncio.get_running_loop()
    hold = await loop.create_unix_server(lambda: HeldRequest(owner), tmp_path / "hold")
    release = await asyncio.start_unix_server(deaf, tmp_path / "release")
    async with hold, release:
        _, caller = await asyncio.open_unix_connection(tmp_path / "hold")
        caller.write(HEADER + b"x" * waiting_bytes)
        await until(lambda: owner.held and caller.transport.get_write_buffer_size() == 0)
        releasing = asyncio.create_task(owner.held[0].release(str(tmp_path / "release")))
        caller.write(b"y" * 50 * MB)
        sizes: list[int] = []

        def is_steady() -> bool:
            sizes.append(caller.transport.get_write_buffer_size())
            return len(sizes) > 20 and len(set(sizes[-20:])) == 1

        await until(is_steady)
        left = caller.transport.get_write_buffer_size()
        replicas[0].transport.abort()
        await until(lambda: not owner.held)
        await releasing
        caller.transport.abort()

    assert left > 48 * MB
    assert owner.disk.used_bytes(1) == 0
