"""Many tunnels at one gateway, each of a machine with a key of its own: what they take of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.instances.boot import keys
from gateway.schema import TunnelKey, TunnelServer
from tests.bench.gateway_p8 import pss_mib
from tests.integration.gateway.harness import Gateway
from tests.integration.gateway.ssh_clients import is_open

PORTS = range(20000, 30000)
AT_ONCE = 16
# So that none of these addresses has more than a gateway takes of one.
ADDRESSES = 10
REST_SECONDS = 20.0
OPTIONS = (
    *("-F", "none", "-N", "-T", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"),
    *("-o", "HostKeyAlias=gateway", "-o", "StrictHostKeyChecking=yes"),
    *("-o", "GlobalKnownHostsFile=none", "-o", "ExitOnForwardFailure=yes"),
    *("-o", "ConnectTimeout=60", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=30"),
)


@dataclass(frozen=True)
class Tunnel:
    """A machine of one tunnel; `number` says which of the addresses is its own."""

    number: int
    port: int
    key: Path
    row: TunnelKey

    def command(self, server: TunnelServer, known: Path, to: str) -> list[str]:
        return [
            *("ssh", *OPTIONS, "-i", str(self.key), "-o", f"UserKnownHostsFile={known}"),
            *("-b", f"127.0.0.{2 + self.number % ADDRESSES}", "-p", str(server.port)),
            *("-l", server.user, "-R", f"127.0.0.1:{self.port}:{to}", "127.0.0.1"),
        ]


async def show(
    gateway: Gateway, folder: Path, server: TunnelServer, to: str, *, most: int, seconds: float
) -> None:
    """Open as many tunnels as fit into the time, up to `most`, and print what they take."""
    known = folder / "many.known_hosts"
    known.write_text(f"gateway {server.host_key}\n")
    tunnels = list(made(folder, most))
    await gateway.control.put(*(each.row for each in tunnels))
    await gateway_knows()
    before, began = memory_mib(), time.monotonic()
    with children() as running:
        await opened(tunnels, running, server, known, to, until=began + seconds)
        took, count = time.monotonic() - began, sum(is_open(each.port) for each in tunnels)
        grown = memory_mib() - before
        print(f"\n{count} tunnels of as many keys, {AT_ONCE} at a time, in {took:.0f} s:")
        print(f"sshd {grown:.0f} MiB (PSS), {grown / count:.2f} MiB each", flush=True)
        await show_rest(gateway)


async def opened(
    tunnels: Iterable[Tunnel],
    running: list[subprocess.Popen[bytes]],
    server: TunnelServer,
    known: Path,
    to: str,
    *,
    until: float,
) -> None:
    """Open them, some at a time, until the time is over."""
    waiting = iter(tunnels)

    async def one_after_the_other() -> None:
        for tunnel in waiting:
            child: subprocess.Popen[bytes] | None = None
            if time.monotonic() > until:
                return
            while not is_open(tunnel.port):
                # As agents do, whom a busy gateway turns away.
                if child is None or child.poll() is not None:
                    argv = tunnel.command(server, known, to)
                    child = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
                    running.append(child)
                await asyncio.sleep(0.1)
                if time.monotonic() > until + REST_SECONDS:
                    return

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_the_other())


async def show_rest(gateway: Gateway) -> None:
    """What the gateway's own program takes while all of them only stay."""
    if gateway.sidecar is None:
        raise RuntimeError("the gateway does not run")
    before = cpu_seconds(gateway.sidecar.pid)
    await asyncio.sleep(REST_SECONDS)
    spent = (cpu_seconds(gateway.sidecar.pid) - before) / REST_SECONDS * 100
    size = pss_mib(gateway.sidecar.pid)
    print(f"the sidecar at rest: {size:.0f} MiB (PSS), {spent:.1f} % of a core", flush=True)


def cpu_seconds(pid: int) -> float:
    """Of all its threads, also those that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def made(folder: Path, count: int) -> Iterator[Tunnel]:
    for number, port in zip(range(count), PORTS, strict=False):
        pair, file = keys.new(), folder / f"many{number}.key"
        file.touch(mode=0o600)
        file.write_text(pair.private)
        row = TunnelKey(id=f"many{number}", version=0, public_key=pair.public, ports=[port])
        yield Tunnel(number, port, file, row)


@contextlib.contextmanager
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield running
    finally:
        for child in running:
            child.kill()
        for child in running:
            child.wait()


async def gateway_knows() -> None:
    """The file of keys is written a moment after the table has changed."""
    await asyncio.sleep(0.5)


def memory_mib() -> float:
    """What all processes of `sshd -i` on this machine take, each with its own part alone."""
    total = 0.0
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError, StopIteration):
            if entry.name.isdigit() and Path(entry.path, "comm").read_text().startswith("sshd"):
                total += pss_mib(int(entry.name))
    return total
