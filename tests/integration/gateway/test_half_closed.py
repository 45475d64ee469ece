"""Callers who close their sending side are answered, and those who leave are noticed.

At the gateway both look the same: which of them a service gets, `gateway.state.slot_kinds` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.schema import Model
from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, hello, until

pytestmark = pytest.mark.asyncio

TOKEN = f"Authorization: Bearer {ALICE}\r\n"
HOST = "Host: hello.localhost\r\n"
BY_HOST, BY_PATH = ("/late", HOST), ("/services/main/hello/late", "Host: localhost\r\n")


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[tuple[Gateway, ControlPlane, Target]]:
    async with hello(tmp_path) as (gateway, targets):
        yield gateway, gateway.control, targets[0]


async def half_closed(gateway: Gateway, text: str) -> bytes:
    """Send a request, close the sending side, and return all that comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(text.encode())
    writer.write_eof()
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(("path", "host"), [BY_HOST, BY_PATH])
async def test_answers_who_has_closed_its_sending_side(
    stage: tuple[Gateway, ControlPlane, Target], path: str, host: str
) -> None:
    gateway, _, target = stage
    head = f" {path} HTTP/1.1\r\n{host}{TOKEN}"
    long = "x" * 100_000
    requests = [
        f"GET{head}\r\n",
        f"GET{head}Connection: close\r\n\r\n",
        f"GET {path} HTTP/1.0\r\n{host}{TOKEN}\r\n",
        f"POST{head}Content-Length: 4\r\n\r\nbody",
        f"PUT{head}Content-Length: {len(long)}\r\n\r\n{long}",
        f"PUT{head}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
    ]

    asked = asyncio.gather(*(half_closed(gateway, each) for each in requests))
    await until(lambda: len(target.seen) == len(requests))
    # The service takes its time, in which leaving would be noticed.
    asyncio.get_running_loop().call_later(2, target.go_on.set)
    answers = await asked

    assert [answer.split()[1] for answer in answers] == [b"200"] * len(requests)
    assert all(b'"path": "/late"' in answer for answer in answers)


async def test_answers_the_second_request_of_a_connection_too(
    stage: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, _, _ = stage
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    request = f"GET /sse?count=2&pause=1 HTTP/1.1\r\n{HOST}{TOKEN}\r\n".encode()
    writer.write(request)
    await reader.readuntil(b"data: 1\n\n\r\n0\r\n\r\n")
    writer.write(request)
    writer.write_eof()
    second = await asyncio.wait_for(reader.read(), 20)
    writer.close()

    assert second.split()[1] == b"200"
    assert b"data: 1" in second


async def leave(gateway: Gateway, path: str) -> None:
    """Begin to read an answer, and leave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(f"GET {path} HTTP/1.1\r\n{HOST}{TOKEN}\r\n".encode())
    await reader.readuntil(b"200 OK")
    await reader.read(1000)
    writer.close()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        # A model would go on for long; who waits for a turn gives it up.
        ({"model": Model(name="m")}, "/wait"),
        ({"model": Model(name="t", format="tgi")}, "/wait"),
        ({"max_concurrency": 1}, "/wait"),
        # All others are told at their next word.
        ({}, "/sse?count=200&pause=0.1"),
    ],
)
async def test_ends_the_services_work_when_the_caller_leaves(
    stage: tuple[Gateway, ControlPlane, Target], fields: dict[str, Any], path: str
) -> None:
    gateway, control, target = stage
    await control.applied(await control.put(service("hello", target.address, **fields)))
    await leave(gateway, path)

    await asyncio.wait_for(target.left_early.wait(), 15)


async def test_gives_the_turn_of_who_left_to_the_next(
    stage: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = stage
    await control.applied(await control.put(service("hello", target.address, max_concurrency=1)))
    busy = asyncio.create_task(gateway.call("/wait", token=ALICE))
    await until(lambda: target.seen == ["/wait"])
    _, leaver = await asyncio.open_connection("127.0.0.1", gateway.port)
    leaver.write(f"GET /left HTTP/1.1\r\n{HOST}{TOKEN}\r\n".encode())
    await until(lambda: control.in_flight("e-hello") == 2)
    leaver.close()
    await until(lambda: control.in_flight("e-hello") == 1)
    target.go_on.set()
    await busy

    assert (await gateway.call("/next", token=ALICE)).status == 200
    assert target.seen == ["/wait", "/next"]
