"""P16: what callers of https pay where tunnels come in by the port of TLS.

    python -m tests.bench.shared_port_p16 [--rounds 5] [--seconds 3]

Two gateways, one with a port for tunnels of its own, asked in turn: kept connections, new ones, and
a body of 8 MB. Each gateway's HAProxy has one core to itself, the load and the upstream the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import gateway_stage as stage
from tests.bench import wrk
from tests.fakes.control_plane_gateway import service
from tests.free_ports import free_port

CONNECTIONS, NEW_CONNECTIONS = 32, 500
BULK_MB, BULK_TIMES = 8, 8
HOST = "hello.localhost"
BULK = """
frontend bulk
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain file {file}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    wrk.need()
    with tempfile.TemporaryDirectory(prefix="shared-p16-") as folder:
        asyncio.run(measure(Path(folder), options))


async def measure(folder: Path, options: argparse.Namespace) -> None:
    upstream, bulk, own, shared = (free_port() for _ in range(4))
    file = folder / "bulk"
    file.write_bytes(b"a" * (BULK_MB << 20))
    config = stage.UPSTREAM.format(port=upstream, body=stage.BODY)
    large = f"global\n  tune.bufsize {(BULK_MB + 1) << 20}\n"
    config = large + config + BULK.format(port=bulk, file=file)
    endpoints = [
        service(name, f"127.0.0.1:{port}", auth=False)
        for name, port in (("hello", upstream), ("bulk", bulk))
    ]
    ports = {"a port of its own": own, "one port for both": shared}
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(stage.haproxy(folder, "upstream", config, stage.LOAD_CORE))
        pids = {}
        for name, port in ports.items():
            ssh = port if port == shared else free_port()
            more = {"DSTACK_GATEWAY_TLS_PORT": str(port), "DSTACK_GATEWAY_SSH_PORT": str(ssh)}
            one = stage.gateway(folder / str(port), endpoints=endpoints, keys=[], more=more)
            gateway = await stack.enter_async_context(one)
            process = gateway.haproxy()
            if process is None:
                raise RuntimeError("HAProxy does not run")
            pids[name] = process.pid
        await show_kept(ports, pids, options)
        show("a new connection, its handshake and its answer", ports, NEW_CONNECTIONS, ask_anew)
        show(f"a body of {BULK_MB} MB", ports, BULK_TIMES, ask_much)


async def show_kept(
    ports: dict[str, int], pids: dict[str, int], options: argparse.Namespace
) -> None:
    found: dict[str, list[tuple[wrk.Report, float]]] = {name: [] for name in ports}
    for number in range(options.rounds + 1):
        for name, port in ports.items():
            before = stage.cpu_us(pids[name])
            report = await wrk.load(
                url=f"https://127.0.0.1:{port}/",
                core=stage.LOAD_CORE,
                connections=CONNECTIONS,
                seconds=options.seconds,
                more=wrk.headers({"Host": HOST}),
            )
            if number:
                spent = (stage.cpu_us(pids[name]) - before) / report.requests
                found[name].append((report, spent))
    print(f"\n{CONNECTIONS} kept connections by https; medians of {options.rounds} rounds\n")
    print("| | requests/s | p50 ms | p99 ms | CPU µs |\n|---|---|---|---|---|")
    for name, rounds in found.items():
        rate, p50, p99 = (
            statistics.median(getattr(each, what) for each, _ in rounds)
            for what in ("per_second", "p50_ms", "p99_ms")
        )
        cpu = statistics.median(spent for _, spent in rounds)
        print(f"| {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {cpu:.1f} |", flush=True)


def show(title: str, ports: dict[str, int], times: int, ask: Callable[[int], None]) -> None:
    """Ask all ports in turn and print how long it took."""
    took: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(times + times // 10 + 1):
        for name, port in ports.items():
            began = time.perf_counter()
            ask(port)
            if number > times // 10:
                took[name].append((time.perf_counter() - began) * 1000)
    print(f"\n{title}; {times} each, in turn\n\n| | p50 ms | p99 ms |\n|---|---|---|")
    for name, found in took.items():
        cuts = statistics.quantiles(found, n=100)
        print(f"| {name} | {cuts[49]:.2f} | {cuts[98]:.2f} |", flush=True)


def ask_anew(port: int) -> None:
    read(port, HOST)


def ask_much(port: int) -> None:
    if read(port, "bulk.localhost") < BULK_MB << 20:
        raise RuntimeError("the body did not come whole")


def read(port: int, host: str) -> int:
    """Ask by a connection of its own; return how many bytes came. Raise RuntimeError."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        trusting.wrap_socket(plain, server_hostname=host) as peer,
    ):
        peer.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        first, count = b"", 0
        while part := peer.recv(1 << 18):
            first, count = first or part, count + len(part)
    if not first.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"no answer: {first[:100]!r}")
    return count


if __name__ == "__main__":
    main()
