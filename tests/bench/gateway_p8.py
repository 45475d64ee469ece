"""P8 and size: a large table on one gateway: memory, start, how soon a change is live.

    python -m tests.bench.gateway_p8 [--services 5000] [--keys 20000]

The route of a ready replica must be live within 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import gateway_stage as stage
from tests.fakes.control_plane_gateway import key, service
from tests.fakes.target import Target
from tests.integration.gateway.harness import ALICE, Gateway, until

CHANGES = 11


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--keys", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gateway-p8-") as folder:
        asyncio.run(measure(Path(folder), services=options.services, keys=options.keys))


async def measure(folder: Path, *, services: int, keys: int) -> None:
    target = await Target().start()
    others = [service(f"other{number}", target.address) for number in range(services - CHANGES - 1)]
    began = time.monotonic()
    async with stage.gateway(folder, endpoints=[], keys=[], slots=services) as gateway:
        print(f"start with an empty table: {time.monotonic() - began:.2f} s")
        began = time.monotonic()
        hello = service("hello", target.address)
        version = await gateway.control.put(hello, *others, *stage.full_keys(keys))
        await gateway.control.applied(version, seconds=120)
        print(f"{services:,} services and {keys:,} keys at once: {time.monotonic() - began:.2f} s")
        print(f"memory (PSS): {memory(gateway)}")
        print(f"new service live: {await live(gateway, target)}")
        print(f"new key live: {await key_live(gateway)}")
        print(f"HAProxy killed, serving again: {await back(gateway):.2f} s")
    await target.stop()


def memory(gateway: Gateway) -> str:
    haproxy = gateway.haproxy()
    if haproxy is None or gateway.sidecar is None:
        raise RuntimeError("the gateway does not run")
    return f"HAProxy {pss_mib(haproxy.pid):.0f} MiB, sidecar {pss_mib(gateway.sidecar.pid):.0f} MiB"


def pss_mib(pid: int) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("Pss:")).split()[1]) / 1024


async def live(gateway: Gateway, target: Target) -> str:
    async def change(number: int) -> Callable[[], Awaitable[bool]]:
        await gateway.control.put(service(f"new{number}", target.address))
        return lambda: answers(gateway, f"new{number}.localhost", ALICE)

    return await spread(change)


async def key_live(gateway: Gateway) -> str:
    async def change(number: int) -> Callable[[], Awaitable[bool]]:
        await gateway.control.put(key(f"dsk_u_new{number}", projects=["p1"]))
        return lambda: answers(gateway, "hello.localhost", f"dsk_u_new{number}")

    return await spread(change)


async def spread(change: Callable[[int], Awaitable[Callable[[], Awaitable[bool]]]]) -> str:
    took = []
    for number in range(CHANGES):
        began = time.monotonic()
        await until(await change(number), pause=0.001)
        took.append((time.monotonic() - began) * 1000)
    return f"median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms"


async def answers(gateway: Gateway, host: str, token: str) -> bool:
    return (await gateway.call(host=host, token=token)).status == 200


async def back(gateway: Gateway) -> float:
    haproxy = gateway.haproxy()
    if haproxy is None:
        raise RuntimeError("HAProxy does not run")
    haproxy.signal(signal.SIGKILL)
    began = time.monotonic()

    async def is_back() -> bool:
        return await gateway.is_alive() and await answers(gateway, "hello.localhost", ALICE)

    await until(is_back)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
