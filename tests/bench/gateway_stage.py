"""What the gateway's benchmarks share: programs on chosen cores, wrk's figures, a full table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.haproxy import binary
from gateway.schema import Endpoint, Key
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.integration.gateway.harness import ALICE, Gateway, free_port

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


def need_wrk() -> str:
    """This function will find wrk or end the benchmark with what to do."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("this benchmark needs wrk (Debian: apt-get install wrk)")
    return found


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


async def wrk(
    *,
    port: int,
    pid: int,
    headers: dict[str, str],
    connections: int,
    seconds: float,
    path: str = "/",
    script: Path | None = None,
) -> Figures:
    """This function will load a port, which process `pid` serves, with wrk.

    `script` is Lua that says what is sent. Raises RuntimeError unless all answers are 2xx.
    """
    sent = [text for name, value in headers.items() for text in ("-H", f"{name}: {value}")]
    sent += ["-s", str(script)] if script else []
    argv = [need_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", *sent]
    before = cpu_us(pid)
    child = await asyncio.create_subprocess_exec(
        *argv,
        f"http://127.0.0.1:{port}{path}",
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    text = (await child.communicate())[0].decode()
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    return Figures(
        per_second=float(found(r"Requests/sec:\s+([\d.]+)", text)),
        p50_ms=milliseconds(found(r"^\s+50%\s+(\S+)$", text)),
        p99_ms=milliseconds(found(r"^\s+99%\s+(\S+)$", text)),
        cpu_us=(cpu_us(pid) - before) / max(int(found(r"(\d+) requests in", text)), 1),
    )


def cpu_us(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"wrk said nothing of {pattern}:\n{text}")
    return match[1]


def milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def medians(rounds: list[Figures]) -> Figures:
    return Figures(
        per_second=statistics.median(each.per_second for each in rounds),
        p50_ms=statistics.median(each.p50_ms for each in rounds),
        p99_ms=statistics.median(each.p99_ms for each in rounds),
        cpu_us=statistics.median(each.cpu_us for each in rounds),
    )


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, *, endpoints: list[Endpoint], keys: list[Key], slots: int = 5000
) -> AsyncIterator[Gateway]:
    """A gateway on the measured core whose table is applied."""
    control = ControlPlane(token="dsk_g_gateway")
    await control.start()
    environ = {"DSTACK_GATEWAY_THREADS": "1", "DSTACK_GATEWAY_SLOTS": str(slots)}
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
