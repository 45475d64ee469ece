"""A service's own `idle_timeout`: how long its replicas may send nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import websockets

from gateway.schema import Endpoint
from tests.fakes.control_plane_gateway import replica
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, hello

pytestmark = pytest.mark.asyncio

IDLE_SECONDS = 2
STALLS = "/sse?count=2&pause=300"
# Longer than the time-out as a whole, but never still for that long.
GOES_ON = "/sse?count=15&pause=0.2"
# Still for longer than the time-out, once.
PAUSES = f"/sse?count=2&pause={IDLE_SECONDS * 1.5}"


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Gateway, Target]]:
    async with hello(tmp_path) as (gateway, targets):
        yield gateway, targets[0]


def impatient(gateway: Gateway, *targets: Target, **fields: Any) -> Endpoint:
    known = gateway.control.endpoints["e-hello"]
    replicas = [
        each for each in known.replicas for target in targets if each.address == target.address
    ]
    return known.model_copy(
        update={"idle_timeout_seconds": IDLE_SECONDS, "replicas": replicas, **fields}
    )


async def put(gateway: Gateway, endpoint: Endpoint) -> None:
    await gateway.control.applied(await gateway.control.put(endpoint))


@pytest.mark.parametrize("limit", [None, 1])
async def test_cuts_off_an_answer_that_stalls(
    served: tuple[Gateway, Target], limit: int | None
) -> None:
    gateway, target = served
    await put(gateway, impatient(gateway, target, max_concurrency=limit))

    with pytest.raises(aiohttp.ClientPayloadError):
        await gateway.call(STALLS, token=ALICE)


async def test_answers_504_for_a_replica_that_says_nothing(
    served: tuple[Gateway, Target],
) -> None:
    gateway, _ = served
    silent = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = f"127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    await put(gateway, impatient(gateway, replicas=[replica(address)]))

    answer = await gateway.call(token=ALICE)
    silent.close()

    assert answer.status == 504


async def test_leaves_an_answer_that_goes_on(served: tuple[Gateway, Target]) -> None:
    gateway, target = served
    await put(gateway, impatient(gateway, target))

    assert (await gateway.call(GOES_ON, token=ALICE)).body.endswith(b"data: 14\n\n")


async def test_changes_in_place_and_back(served: tuple[Gateway, Target]) -> None:
    gateway, target = served
    patient = gateway.control.endpoints["e-hello"]
    before = gateway.haproxy()
    await put(gateway, impatient(gateway, target))
    with pytest.raises(aiohttp.ClientPayloadError):
        await gateway.call(PAUSES, token=ALICE)
    await put(gateway, patient)

    assert (await gateway.call(PAUSES, token=ALICE)).body.endswith(b"data: 1\n\n")
    assert gateway.haproxy() == before


async def test_leaves_other_services_alone(served: tuple[Gateway, Target]) -> None:
    gateway, target = served
    other = gateway.control.endpoints["e-hello"].model_copy(
        update={"id": "e-other", "hosts": ["other.localhost"], "paths": []}
    )
    await put(gateway, other)
    await put(gateway, impatient(gateway, target))

    answer = await gateway.call(PAUSES, host="other.localhost", token=ALICE)
    assert answer.body.endswith(b"data: 1\n\n")


async def test_closes_a_websocket_that_is_still(served: tuple[Gateway, Target]) -> None:
    gateway, target = served
    await put(gateway, impatient(gateway, target))

    async with websockets.connect(
        "ws://hello.localhost/ws",
        host="127.0.0.1",
        port=gateway.port,
        proxy=None,
        ping_interval=None,
        additional_headers={"Authorization": f"Bearer {ALICE}"},
    ) as socket:
        await socket.send("text")
        assert await socket.recv() == "text"
        with pytest.raises(websockets.ConnectionClosed):
            async with asyncio.timeout(40):
                await socket.recv()


async def test_counts_no_waiting_for_a_replica(served: tuple[Gateway, Target]) -> None:
    gateway, target = served
    awake = impatient(gateway, target)
    await put(gateway, impatient(gateway))
    began_at = time.monotonic()
    waiting = asyncio.create_task(gateway.call("/x", token=ALICE))
    stalling = asyncio.create_task(gateway.call(STALLS, token=ALICE))
    # This long a wait is what is tested.
    await asyncio.sleep(IDLE_SECONDS * 1.5)
    await put(gateway, awake)

    assert (await waiting).status == 200
    assert time.monotonic() - began_at > IDLE_SECONDS
    with pytest.raises(aiohttp.ClientPayloadError):
        await stalling
