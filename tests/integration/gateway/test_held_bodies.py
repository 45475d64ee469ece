"""Bodies of requests that wait: in memory, on disk, or nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from gateway.schema import Hold
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Answer, Gateway, until
from tests.integration.gateway.held import HEAD, is_held

pytestmark = pytest.mark.asyncio

MB = 1_000_000
# What Python's file has not handed to the kernel yet.
UNWRITTEN_BYTES = 8192


async def test_carries_a_long_body(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep
    body = os.urandom(40 * MB)
    waiting = upload(gateway, body)
    await until(lambda: on_disk_bytes(gateway) >= len(body) - UNWRITTEN_BYTES)
    await control.put(service("hello", target.address))
    answer = await waiting

    assert answer.json["length"] == len(body)
    assert answer.json["sha256"] == hashlib.sha256(body).hexdigest()
    await until(lambda: on_disk_bytes(gateway) == 0)


async def test_takes_no_memory_for_long_bodies(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    assert gateway.sidecar is not None
    sidecar = psutil.Process(gateway.sidecar.pid)
    before = sidecar.memory_info().rss
    body = os.urandom(60 * MB)
    waiting = [upload(gateway, body) for _ in range(4)]
    await until(lambda: on_disk_bytes(gateway) >= 4 * (len(body) - UNWRITTEN_BYTES), seconds=60)
    while_held = sidecar.memory_info().rss
    await control.put(service("hello", target.address))
    answers = await asyncio.gather(*waiting)

    assert {each.json["sha256"] for each in answers} == {hashlib.sha256(body).hexdigest()}
    assert while_held - before < 25 * MB
    assert sidecar.memory_info().rss - before < 25 * MB


@pytest.mark.parametrize("sent_bytes", [100_000, 12 * MB, 25 * MB])
async def test_forgets_a_caller_who_leaves_in_the_middle_of_a_body(
    sent_bytes: int, asleep: tuple[Gateway, ControlPlane, Target]
) -> None:
    gateway, control, target = asleep
    await control.applied(await control.put(service("hello", hold=Hold(max_memory_mib=1))))
    callers = [await begun(gateway, sent_bytes, of=30 * MB) for _ in range(3)]
    await until(lambda: held_now(control) == 3)
    for caller in callers:
        caller.close()
    await until(lambda: held_now(control) == 0)
    await until(lambda: on_disk_bytes(gateway) == 0)
    await control.put(service("hello", target.address))

    assert (await gateway.call("/next", token=ALICE)).status == 200
    assert target.seen == ["/next"]


async def test_refuses_what_has_no_place_on_disk(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bounds = Hold(max_memory_mib=1, max_disk_mib=5)
    await control.applied(await control.put(service("hello", hold=bounds)))
    for _ in range(3):
        first = upload(gateway, b"x" * (3 * MB))
        await until(lambda: on_disk_bytes(gateway) >= 3 * MB - UNWRITTEN_BYTES)
        refused = await upload(gateway, b"x" * (25 * MB))
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        first.cancel()
        await until(lambda: on_disk_bytes(gateway) == 0)
    await control.put(service("hello", target.address, hold=bounds))

    assert (await upload(gateway, b"x" * (3 * MB))).json["length"] == 3 * MB


async def test_puts_short_bodies_on_disk_where_the_memory_is_full(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bounds = Hold(max_memory_mib=1, max_disk_mib=2)
    await control.applied(await control.put(service("hello", hold=bounds)))
    waiting = [upload(gateway, b"x" * 520_000) for _ in range(3)]
    await until(lambda: on_disk_bytes(gateway) > 0)
    await control.put(service("hello", target.address))

    assert [each.json["length"] for each in await asyncio.gather(*waiting)] == [520_000] * 3


async def test_refuses_short_bodies_where_there_is_no_place_at_all(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bounds = Hold(max_memory_mib=0, max_disk_mib=1)
    await control.applied(await control.put(service("hello", hold=bounds)))
    waiting = []
    for number in range(1, 3):
        waiting.append(upload(gateway, b"x" * 520_000))
        await until(partial(has_on_disk, gateway, number * (520_000 - UNWRITTEN_BYTES)))
    refused = [(await upload(gateway, b"x" * size)).status for size in (10_000, 520_000) * 3]
    await control.put(service("hello", target.address))

    assert refused == [503] * 6
    assert [each.json["length"] for each in await asyncio.gather(*waiting)] == [520_000] * 2


async def test_keeps_all_in_memory_where_no_disk_may_be_used(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bounds = Hold(max_memory_mib=8, max_disk_mib=0)
    await control.applied(await control.put(service("hello", hold=bounds)))
    refused = await upload(gateway, b"x" * (25 * MB))
    waiting = upload(gateway, b"x" * (6 * MB))
    await is_held(control, 1)
    await control.put(service("hello", target.address))

    assert refused.status == 503
    assert (await waiting).json["length"] == 6 * MB


async def test_refuses_what_the_disk_does_not_take(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    assert gateway.sidecar is not None
    resource.prlimit(gateway.sidecar.pid, resource.RLIMIT_FSIZE, (2 * MB, 2 * MB))
    answers = [await upload(gateway, b"x" * (4 * MB)) for _ in range(3)]
    await until(lambda: on_disk_bytes(gateway) == 0)
    waiting = upload(gateway, b"x" * 900_000)
    await control.put(service("hello", target.address))

    assert [each.status for each in answers] == [503] * 3
    assert (await waiting).json["length"] == 900_000


async def test_goes_on_with_a_body_that_was_not_there_whole(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    pieces = [os.urandom(64_000) for _ in range(100)]
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for number, piece in enumerate(pieces):
            if number == 50:
                await go_on.wait()
            yield piece

    waiting = upload(gateway, body())
    await until(lambda: on_disk_bytes(gateway) >= 50 * 64_000 - UNWRITTEN_BYTES)
    await control.put(service("hello", target.address))
    await until(lambda: target.seen)
    go_on.set()

    assert (await waiting).json["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()


def upload(gateway: Gateway, body: bytes | AsyncIterator[bytes]) -> asyncio.Task[Answer]:
    return asyncio.create_task(gateway.call(token=ALICE, method="PUT", data=body))


async def begun(gateway: Gateway, sent_bytes: int, *, of: int) -> asyncio.StreamWriter:
    """A PUT whose body breaks off."""
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"PUT / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % of)
    writer.write(b"x" * sent_bytes)
    return writer


def held_now(control: ControlPlane) -> int:
    return control.statuses[-1].held.get("e-hello", 0)


def on_disk_bytes(gateway: Gateway) -> int:
    """How much lies in files without a name that the sidecar has open in its home."""
    assert gateway.sidecar is not None
    folder = Path(f"/proc/{gateway.sidecar.pid}/fd")
    return sum(bytes_in(number, gateway.home / "data") for number in folder.iterdir())


def bytes_in(number: Path, home: Path) -> int:
    try:
        name = str(number.readlink())
        return number.stat().st_size if name.startswith(f"{home}/") and "deleted" in name else 0
    except FileNotFoundError:
        return 0


def has_on_disk(gateway: Gateway, least_bytes: int) -> bool:
    return on_disk_bytes(gateway) >= least_bytes
