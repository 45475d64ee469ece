"""P16: what a tunnel costs: a new connection, requests at 32 connections, memory of many tunnels.

    python -m tests.bench.tunnels_p16 [--rounds 5] [--seconds 3] [--tunnels 1000]
                                      [--opening-seconds 60]

Real ssh and sshd on this machine's loopback, so without the distance between a machine and its
gateway. Client and server of each tunnel, wrk and the upstream share the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path

from gateway.schema import TunnelServer
from tests.bench import gateway_stage as stage
from tests.bench import many_tunnels, wrk
from tests.fakes.control_plane_gateway import key, service
from tests.free_ports import free_port
from tests.integration.gateway.harness import ALICE, Gateway
from tests.integration.gateway.ssh_clients import Machine

CONNECTIONS = 32
NEW_CONNECTIONS = 1000
FIRST_PORT = 30000
REQUEST = b"GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--tunnels", type=int, default=1000)
    parser.add_argument("--opening-seconds", type=float, default=60.0)
    options = parser.parse_args()
    wrk.need()
    with tempfile.TemporaryDirectory(prefix="tunnels-p16-") as folder:
        asyncio.run(measure(Path(folder), options))


async def measure(folder: Path, options: argparse.Namespace) -> None:
    upstream = free_port()
    to = f"127.0.0.1:{upstream}"
    config = stage.UPSTREAM.format(port=upstream, body=stage.BODY)
    more = {"DSTACK_GATEWAY_SSH_PORT": str(free_port())}
    machine = Machine(folder)
    with stage.haproxy(folder, "upstream", config, stage.LOAD_CORE):
        async with stage.gateway(folder, endpoints=[], keys=[], more=more) as gateway:
            server = await tunnel_server(gateway)
            try:
                await gateway.control.put(machine.row(FIRST_PORT))
                await many_tunnels.gateway_knows()
                await machine.opens(server, FIRST_PORT, to)
                show_new_connections({"direct": upstream, "tunnel": FIRST_PORT})
                await show_requests(gateway, upstream, options)
                machine.stop()
                await many_tunnels.show(
                    gateway,
                    folder,
                    server,
                    to,
                    most=options.tunnels,
                    seconds=options.opening_seconds,
                )
            finally:
                machine.stop()


async def tunnel_server(gateway: Gateway) -> TunnelServer:
    said = await gateway.control.wait_status(lambda each: each.tunnels is not None)
    if said.tunnels is None:
        raise RuntimeError("the gateway takes no tunnels")
    return said.tunnels


def show_new_connections(ports: dict[str, int]) -> None:
    """Connect, ask and read the answer to its end, all ports in turn."""
    times: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(NEW_CONNECTIONS + 50):
        for name, port in ports.items():
            seconds = ask_anew(port)
            # The first ones only warm up.
            if number >= 50:
                times[name].append(seconds * 1000)
    print(f"\na new connection and its answer; {NEW_CONNECTIONS} each, in turn\n")
    print("| | p50 ms | p99 ms |\n|---|---|---|")
    for name, found in times.items():
        cuts = statistics.quantiles(found, n=100)
        print(f"| {name} | {cuts[49]:.2f} | {cuts[98]:.2f} |", flush=True)


def ask_anew(port: int) -> float:
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(REQUEST)
        answer = b""
        while part := peer.recv(65536):
            answer += part
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"no answer: {answer[:100]!r}")
    return time.perf_counter() - began


async def show_requests(gateway: Gateway, upstream: int, options: argparse.Namespace) -> None:
    """Requests of 32 kept connections: past the gateway and by it, without and with the tunnel."""
    near = service("near", f"127.0.0.1:{upstream}")
    far = service("far", f"127.0.0.1:{FIRST_PORT}")
    version = await gateway.control.put(near, far, key(ALICE, projects=["p1"]))
    await gateway.control.applied(version)
    ways = {
        "direct": (upstream, "hello.localhost"),
        "tunnel": (FIRST_PORT, "hello.localhost"),
        "gateway, direct": (gateway.port, "near.localhost"),
        "gateway, tunnel": (gateway.port, "far.localhost"),
    }
    reports: dict[str, list[wrk.Report]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, (port, host) in ways.items():
            headers = {"Host": host, "Authorization": f"Bearer {ALICE}"}
            report = await wrk.load(
                url=f"http://127.0.0.1:{port}/",
                core=stage.LOAD_CORE,
                connections=CONNECTIONS,
                seconds=options.seconds,
                more=wrk.headers(headers),
            )
            if number:
                reports[name].append(report)
    cores = len(os.sched_getaffinity(0))
    print(
        f"\n{CONNECTIONS} connections; medians of {options.rounds} rounds; {cores} cores for all\n"
    )
    print("| | requests/s | p50 ms | p99 ms |\n|---|---|---|---|")
    for name, found in reports.items():
        figures = [
            statistics.median(getattr(each, what) for each in found)
            for what in ("per_second", "p50_ms", "p99_ms")
        ]
        print(f"| {name} | {figures[0]:,.0f} | {figures[1]:.2f} | {figures[2]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
