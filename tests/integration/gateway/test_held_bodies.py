"""Bodies of requests that wait: in memory, on disk, or nowhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
from collections.abc import AsyncIterator
from functools import partial

import psutil
import pytest

from gateway.schema import Hold
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, until
from tests.integration.gateway.held import (
    MB,
    begun,
    has_on_disk,
    held_now,
    is_held,
    on_disk_bytes,
    upload,
)

pytestmark = pytest.mark.asyncio


async def test_carries_a_long_body(asleep: tuple[Gateway, ControlPlane, Target]) -> None:
    gateway, control, target = asleep
    body = os.urandom(40 * MB)
    waiting = upload(gateway, body)
    await until(lambda: on_disk_bytes(gateway) >= len(body))
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
    await until(lambda: on_disk_bytes(gateway) >= 4 * len(body), seconds=60)
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
        await until(lambda: on_disk_bytes(gateway) >= 3 * MB)
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
        await until(partial(has_on_disk, gateway, number * 520_000))
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


async def test_does_what_it_can_where_the_disk_takes_nothing_more(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    assert gateway.sidecar is not None
    resource.prlimit(gateway.sidecar.pid, resource.RLIMIT_FSIZE, (2 * MB, 2 * MB))
    bounds = Hold(max_memory_mib=8)
    await control.applied(await control.put(service("hello", hold=bounds)))
    refused = await upload(gateway, b"x" * (25 * MB))
    await until(lambda: on_disk_bytes(gateway) == 0)
    body = os.urandom(6 * MB)
    waiting = upload(gateway, body)
    await until(partial(has_on_disk, gateway, MB))
    await is_held(control, 1)
    await control.put(service("hello", target.address))

    assert refused.status == 503
    assert (await waiting).json["sha256"] == hashlib.sha256(body).hexdigest()


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
    await until(lambda: on_disk_bytes(gateway) >= 50 * 64_000)
    await control.put(service("hello", target.address))
    await until(lambda: target.seen)
    go_on.set()

    assert (await waiting).json["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()
