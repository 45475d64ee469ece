"""What the gateway's benchmarks share: programs on chosen cores, wrk's figures, a full table."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.haproxy import binary
from gateway.schema import Endpoint, Key
from tests.bench import wrk
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, Gateway

# The caller and the upstream share a core, what is measured has the other one to itself.
LOAD_CORE, MEASURED_CORE = 0, 1
UPSTREAM = """\
global
  nbthread 1
defaults
  mode http
  timeout client 60s
frontend upstream
  bind 127.0.0.1:{port}
  http-request wait-for-body time 10s if METH_POST
  http-request return status 200 content-type application/json string '{body}'
"""
# The same program, threads and time-outs as the gateway; nothing but passing on.
PLAIN = """\
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option http-no-delay
frontend plain
  bind 127.0.0.1:{port}
  default_backend upstream
backend upstream
  server s1 127.0.0.1:{upstream}
"""
# 269 bytes, as a small answer of a model is.
BODY = '{"id":"x","text":"' + "a" * 249 + '"}'


@dataclass(frozen=True)
class Figures:
    """What wrk measured, and the processor time that the measured process took for a request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


@contextlib.contextmanager
def haproxy(folder: Path, name: str, config: str, core: int) -> Iterator[int]:
    """A HAProxy of the gateway's own program with `config`, on one core; gives its pid."""
    file = folder / f"{name}.cfg"
    file.write_text(config)
    program = binary.find(setting=None)
    child = subprocess.Popen(
        [str(program), "-db", "-f", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        yield child.pid
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


@dataclass(frozen=True)
class Asked:
    """A kind of request, by how many connections; `script` is Lua that says what is sent."""

    title: str
    connections: int = 16
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/"
    script: Path | None = None


async def load(asked: Asked, *, port: int, pid: int, seconds: int) -> Figures:
    """Load a port, which process `pid` serves, with wrk; raise RuntimeError unless all are 2xx."""
    before = cpu_us(pid)
    report = await wrk.load(
        url=f"http://127.0.0.1:{port}{asked.path}",
        core=LOAD_CORE,
        connections=asked.connections,
        seconds=seconds,
        more=[*wrk.headers(asked.headers), *(wrk.script(asked.script) if asked.script else [])],
    )
    return Figures(
        per_second=report.per_second,
        p50_ms=report.p50_ms,
        p99_ms=report.p99_ms,
        cpu_us=(cpu_us(pid) - before) / report.requests,
    )


async def compare(
    servers: dict[str, tuple[int, int]], asked: Asked, *, rounds: int, seconds: int
) -> dict[str, Figures]:
    """Ask all servers, ports and pids by name, the same in turn; return medians by name."""
    figures: dict[str, list[Figures]] = {name: [] for name in servers}
    for number in range(rounds + 1):
        for name, (port, pid) in servers.items():
            measured = await load(asked, port=port, pid=pid, seconds=seconds)
            # The first round only warms up.
            if number:
                figures[name].append(measured)
    return {name: medians(each) for name, each in figures.items()}


def show(asked: Asked, rounds: int, found: dict[str, Figures]) -> None:
    """Print a table of what `compare` found, with `direct` and `plain HAProxy` among it."""
    direct, plain = found["direct"], found["plain HAProxy"]
    title = f"{asked.title}, connections: {asked.connections}"
    print(f"\n{title}; medians of {rounds} interleaved rounds\n")
    print("| | requests/s | p50 ms | p99 ms | CPU µs | of plain | of direct | of plain's CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for name, each in found.items():
        print(
            f"| {name} | {each.per_second:,.0f} | {each.p50_ms:.3f} | {each.p99_ms:.3f} "
            f"| {each.cpu_us:.1f} | {each.per_second / plain.per_second:.2f} "
            f"| {each.per_second / direct.per_second:.2f} | {plain.cpu_us / each.cpu_us:.2f} |"
        )
    print(f"\nadded p99 over direct: {found['gateway'].p99_ms - direct.p99_ms:.3f} ms", flush=True)


def cpu_us(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


def medians(rounds: list[Figures]) -> Figures:
    return Figures(
        per_second=statistics.median(each.per_second for each in rounds),
        p50_ms=statistics.median(each.p50_ms for each in rounds),
        p99_ms=statistics.median(each.p99_ms for each in rounds),
        cpu_us=statistics.median(each.cpu_us for each in rounds),
    )


@contextlib.asynccontextmanager
async def gateway(
    folder: Path,
    *,
    endpoints: list[Endpoint],
    keys: list[Key],
    slots: int = 5000,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway on the measured core whose table is applied."""
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    environ = {"DSTACK_GATEWAY_THREADS": "1", "DSTACK_GATEWAY_SLOTS": str(slots), **(more or {})}
    running = Gateway(folder, control, port=free_port(), environ=environ)
    try:
        await running.start()
        process = running.haproxy()
        if process is None:
            raise RuntimeError("the gateway did not start")
        os.sched_setaffinity(process.pid, {MEASURED_CORE})
        await control.applied(await control.put(*endpoints, *keys), seconds=60)
        yield running
    finally:
        await running.stop()
        await control.stop()


def full_keys(count: int) -> list[Key]:
    """Alice's key among `count` others."""
    others = [key(f"dsk_u_{number}", projects=["p1"]) for number in range(count)]
    return [*others, key(ALICE, projects=["p1"])]


def full_endpoints(count: int, address: str) -> list[Endpoint]:
    """The service `hello` at `address` among `count` others without replicas."""
    return [*(service(f"other{number}") for number in range(count)), service("hello", address)]
