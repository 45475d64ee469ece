"""Long bodies on their way from the hold to replicas that are slow or deaf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest

from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, until
from tests.integration.gateway.held import HEAD, MB, begun, is_held, on_disk_bytes

pytestmark = pytest.mark.asyncio

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def replica(handler: Handler) -> AsyncIterator[str]:
    """A server on raw TCP, which the kernel buffers little for; gives its address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(handler, sock=listener)
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("waiting_bytes", [900_000, 10 * MB])
async def test_reads_on_only_as_fast_as_the_replica(
    waiting_bytes: int, asleep: tuple[Gateway, ControlPlane, Target]
) -> None:
    gateway, control, _ = asleep
    assert gateway.sidecar is not None
    connections: list[asyncio.StreamWriter] = []

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connections.append(writer)

    async with replica(deaf) as address:
        caller = await begun(gateway, waiting_bytes, of=400 * MB)
        await is_held(control, 1)
        before = psutil.Process(gateway.sidecar.pid).memory_info().rss
        await control.put(service("hello", address))
        await until(lambda: connections)
        for _ in range(20):
            caller.write(b"x" * (5 * MB))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await caller.drain()
        growth = psutil.Process(gateway.sidecar.pid).memory_info().rss - before
        caller.transport.abort()

    assert growth < 20 * MB


async def test_notices_who_leaves_while_the_replica_is_deaf(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, _ = asleep
    connections: list[asyncio.StreamWriter] = []

    async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        connections.append(writer)

    async with replica(deaf) as address:
        caller = await begun(gateway, 30 * MB, of=30 * MB)
        await until(lambda: on_disk_bytes(gateway) >= 30 * MB)
        await control.put(service("hello", address))
        await until(lambda: connections)
        caller.close()
        await until(lambda: on_disk_bytes(gateway) == 0)


async def test_the_last_to_leave_does_no_harm(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    """Its service is forgotten, in the middle of a round over all services that have callers."""
    gateway, control, target = asleep
    assert gateway.sidecar is not None
    await control.applied(await control.put(service("other")))
    await control.applied(await control.put(service("hello", target.address)))
    await target.stop()
    waiting = asyncio.create_task(gateway.call(token=ALICE))
    await is_held(control, 1)
    for number in range(300):
        _, caller = await asyncio.open_connection("127.0.0.1", gateway.port)
        caller.write(b"GET / HTTP/1.1\r\n" + HEAD.replace(b"hello", b"other") + b"\r\n")
        await asyncio.sleep(number % 20 / 1000)
        caller.close()

    assert gateway.sidecar.poll() is None
    assert not waiting.done()
    waiting.cancel()
