"""What callers have used up is known to a HAProxy that starts anew."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.errors import HaproxyFailed
from gateway.haproxy.config import SOCKET
from gateway.haproxy.process import Process
from gateway.haproxy.runtime import Runtime
from gateway.schema import RateLimit
from gateway.state import limits
from gateway.traffic import rate_limit_snapshot
from tests.fakes.control_plane_gateway import key, service
from tests.integration.gateway.harness import ALICE, Gateway, hello, until

pytestmark = pytest.mark.asyncio

BOUNDED = "dsk_s_bounded"
# Nobody outlives this here: one request an hour, three at once.
HOURLY_RPS, BURST = 1 / 3600, 2


@pytest_asyncio.fixture
async def used_up(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A service and a key with a limit each, both used up."""
    async with hello(tmp_path) as (gateway, targets):
        control = gateway.control
        limited = service("hello", targets[0].address)
        limit = RateLimit(rps=HOURLY_RPS, burst=BURST)
        await control.put(limited.model_copy(update={"rate_limits": [limit]}))
        await control.put(service("free", targets[0].address))
        other = service("other", targets[0].address)
        await control.put(other.model_copy(update={"rate_limits": [limit]}))
        bounded = key(BOUNDED, projects=["p1"], rps=HOURLY_RPS, burst=BURST)
        await control.applied(await control.put(bounded))
        first = [await ask(gateway, *each) for each in LIMITED for _ in range(4)]
        assert first == [200, 200, 200, 429] * 2
        yield gateway


LIMITED = [("hello.localhost", ALICE), ("free.localhost", BOUNDED)]


async def ask(gateway: Gateway, host: str, token: str) -> int:
    return (await gateway.call(host=host, token=token)).status


def rows(gateway: Gateway) -> int:
    return len(rate_limit_snapshot.read(gateway.home / "data").rows)


def haproxy(gateway: Gateway) -> Process:
    found = gateway.haproxy()
    assert found is not None
    return found


async def in_haproxy(gateway: Gateway, only: str = "") -> dict[str, limits.Charge]:
    """What the HAProxy that runs now has charged."""
    runtime = Runtime(gateway.home / "data" / SOCKET)
    try:
        return dict(rate_limit_snapshot.parse(await runtime.ask(f"show table limits {only}")))
    except HaproxyFailed:
        return {}


async def knows(gateway: Gateway, *, rows: int) -> bool:
    return len(await in_haproxy(gateway)) == rows


async def passes(gateway: Gateway) -> bool:
    return await ask(gateway, *LIMITED[0]) == 200


async def kill_haproxy(gateway: Gateway) -> None:
    os.kill(haproxy(gateway).pid, signal.SIGKILL)


async def kill_both(gateway: Gateway) -> None:
    assert gateway.sidecar is not None
    gateway.sidecar.kill()
    gateway.sidecar.wait(20)
    await kill_haproxy(gateway)
    await gateway.start()


async def restart(gateway: Gateway) -> None:
    assert gateway.sidecar is not None
    gateway.sidecar.terminate()
    gateway.sidecar.wait(20)
    await gateway.start()


@pytest.mark.parametrize("how", [kill_haproxy, kill_both, restart])
async def test_knows_what_was_used_up(
    how: Callable[[Gateway], Awaitable[None]], used_up: Gateway
) -> None:
    await until(lambda: rows(used_up) == 2)
    old = haproxy(used_up)
    await how(used_up)
    await until(lambda: used_up.haproxy() not in {None, old})
    await until(partial(knows, used_up, rows=2))
    await until(used_up.is_alive)

    assert [await ask(used_up, *each) for each in LIMITED for _ in range(3)] == [429] * 6


async def test_keeps_what_the_last_moment_used_up_in_an_orderly_stop(used_up: Gateway) -> None:
    await restart(used_up)
    await until(partial(knows, used_up, rows=2))

    assert [await ask(used_up, *each) for each in LIMITED] == [429, 429]


async def test_reads_all_after_a_pause(used_up: Gateway) -> None:
    """Which rows changed is told by a rate that fades."""
    assert used_up.sidecar is not None
    await until(lambda: rows(used_up) == 2)
    used_up.sidecar.send_signal(signal.SIGSTOP)
    try:
        before = rate_limit_snapshot.read(used_up.home / "data").rows
        assert await ask(used_up, "free.localhost", ALICE) == 200
        other = [await ask(used_up, "other.localhost", ALICE) for _ in range(3)]

        async def has_faded() -> bool:
            return not await in_haproxy(used_up, "data.http_req_rate gt 0")

        await until(has_faded, seconds=60, pause=0.2)
    finally:
        used_up.sidecar.send_signal(signal.SIGCONT)

    assert (len(before), other) == (2, [200, 200, 200])
    await until(lambda: rows(used_up) == 3)


async def test_gives_free_what_became_free_meanwhile(tmp_path: Path) -> None:
    async with hello(tmp_path) as (gateway, targets):
        control = gateway.control
        limited = service("hello", targets[0].address)
        limit = RateLimit(rps=0.5, burst=1)
        await control.applied(
            await control.put(limited.model_copy(update={"rate_limits": [limit]}))
        )
        first = [await ask(gateway, *LIMITED[0]) for _ in range(3)]
        used_up_at = time.monotonic()
        await until(lambda: rows(gateway) == 1)
        await kill_haproxy(gateway)
        await until(partial(knows, gateway, rows=1))
        await until(partial(passes, gateway), pause=0.05)
        waited = time.monotonic() - used_up_at
        await until(lambda: rows(gateway) == 0)

    assert first == [200, 200, 429]
    assert 1.0 < waited < 6.0
