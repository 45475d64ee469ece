"""What is held outlives the sidecar, and nothing runs twice for it."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.fakes.control_plane_gateway import ControlPlane, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, until
from tests.integration.gateway.held import HEAD, is_held

pytestmark = pytest.mark.asyncio


async def kill_sidecar(gateway: Gateway) -> None:
    assert gateway.sidecar is not None
    gateway.sidecar.send_signal(signal.SIGKILL)
    await asyncio.to_thread(gateway.sidecar.wait)


async def test_what_is_held_outlives_the_sidecar(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    bodies = [f"body {number}".encode() for number in range(10)]
    waiting = [
        *(asyncio.create_task(gateway.call(f"/get/{n}", token=ALICE)) for n in range(10)),
        *(
            asyncio.create_task(gateway.call("/post", token=ALICE, method="POST", data=body))
            for body in bodies
        ),
    ]
    await is_held(control, 20)
    await kill_sidecar(gateway)
    control.statuses.clear()
    gateway.spawn()
    await is_held(control, 20)
    await control.put(service("hello", target.address))
    answers = await asyncio.gather(*waiting)

    assert {answer.status for answer in answers} == {200}
    assert sorted(target.seen) == sorted([f"/get/{n}" for n in range(10)] + ["/post"] * 10)
    assert {answer.json["length"] for answer in answers} == {0, len(bodies[0])}
    assert all("x-cold-start" in answer.headers for answer in answers)


@pytest.mark.parametrize(("size", "status"), [(10_000, b"200"), (100_000, b"502")])
async def test_a_body_outlives_the_sidecar_as_far_as_haproxy_keeps_it(
    asleep: tuple[Gateway, ControlPlane, Target], size: int, status: bytes
) -> None:
    gateway, control, target = asleep
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % size)
    await asyncio.sleep(0.2)
    writer.write(b"x" * size)
    await is_held(control, 1)
    await kill_sidecar(gateway)
    gateway.spawn()
    await control.put(service("hello", target.address))
    answer = await reader.readline()
    writer.close()

    assert answer.split()[1] == status


async def test_a_post_that_was_released_is_not_sent_again_when_the_sidecar_dies(
    asleep: tuple[Gateway, ControlPlane, Target],
) -> None:
    gateway, control, target = asleep
    # Connections that have served before: of those HAProxy itself would close one without a word.
    await asyncio.gather(*(gateway.call("/-/healthz", host="127.0.0.1") for _ in range(2)))
    held = [
        asyncio.create_task(gateway.call("/late", token=ALICE, method=method, data=b"x"))
        for method in ("POST", "PUT")
    ]
    await is_held(control, 2)
    await control.put(service("hello", target.address))
    await until(lambda: len(target.seen) == 2)
    await kill_sidecar(gateway)
    gateway.spawn()
    await until(lambda: len(target.seen) == 3)
    target.go_on.set()
    post, put = await asyncio.gather(*held)

    assert (post.status, post.json["error"]["code"]) == (502, "bad_gateway")
    assert (put.status, put.json["method"]) == (200, "PUT")
    assert (await gateway.call(token=ALICE)).status == 200
