"""A real gateway as a child process, with what a test needs to call it and to hurt it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.haproxy import binary, process
from tests.fakes.control_plane_gateway import ControlPlane, key, service
from tests.fakes.target import Target
from tests.free_ports import free_port

ROOT = Path(__file__).parents[3]
ALICE, BOB = "dsk_u_alice", "dsk_u_bob"
SLOTS = 40
METRICS_TOKEN = "what-prometheus-sends"
# Tests run with another HAProxy than the pinned one where this names it, as it does for a gateway.
PROGRAM = {name: os.environ[name] for name in ("DSTACK_HAPROXY",) if name in os.environ}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any = None

    def header_of_request(self, name: str) -> list[str]:
        """The values that the target saw of a header."""
        return [value for key, value in self.json["headers"] if key == name]


@dataclass
class Gateway:
    """`python -m gateway` on a free port of this machine, in a home of the test's."""

    home: Path
    control: ControlPlane
    port: int = field(default_factory=lambda: free_port())
    environ: dict[str, str] = field(default_factory=dict)
    sidecar: subprocess.Popen[bytes] | None = None
    session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the sidecar without waiting for anything."""
        self.home.mkdir(parents=True, exist_ok=True)
        token = self.home / "token"
        token.write_text(self.control.token)
        with (self.home / "gateway.log").open("ab") as log:
            self.sidecar = subprocess.Popen(
                [sys.executable, "-m", "gateway"],
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    **PROGRAM,
                    "DSTACK_GATEWAY_CONTROL_URL": self.control.url,
                    "DSTACK_GATEWAY_TOKEN_FILE": str(token),
                    "DSTACK_GATEWAY_HOME": str(self.home / "data"),
                    "DSTACK_GATEWAY_PORT": str(self.port),
                    "DSTACK_GATEWAY_SLOTS": str(SLOTS),
                    "DSTACK_METRICS_TOKEN": METRICS_TOKEN,
                    **self.environ,
                },
                stdout=log,
                stderr=log,
            )
        return self.sidecar

    async def start(self) -> Gateway:
        """Start the sidecar and wait until HAProxy answers."""
        self.session = self.session or aiohttp.ClientSession(auto_decompress=False)
        self.spawn()
        await until(self.is_alive)
        return self

    async def is_alive(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            return (await self.call("/-/healthz", host="127.0.0.1")).status == 200
        return False

    async def call(
        self,
        path: str = "/",
        *,
        host: str = "hello.localhost",
        token: str | None = None,
        method: str = "GET",
        headers: dict[str, str] | None = None,
        data: Any = None,
    ) -> Answer:
        assert self.session is not None
        sent = {"Host": host, **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method,
            self.url + path,
            headers=sent,
            data=data,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=40),
        ) as got:
            body = await got.read()
        answer = Answer(got.status, {k.lower(): v for k, v in got.headers.items()}, body)
        is_plain = "Content-Encoding" not in got.headers
        if got.content_type == "application/json" and body and is_plain:
            answer.json = await got.json()
        return answer

    async def raw(self, text: bytes, *, seconds: float = 20.0) -> bytes:
        """Send bytes as they are and return all that comes until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text)
        try:
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()

    def haproxy(self) -> process.Process | None:
        return process.running(self.home / "data")

    def log_text(self) -> str:
        files = (self.home / "gateway.log", self.home / "data" / process.LOG_FILE)
        return "".join(file.read_text() for file in files if file.exists())

    async def stop(self) -> None:
        if self.session is not None:
            await self.session.close()
        if self.sidecar is not None and self.sidecar.poll() is None:
            self.sidecar.terminate()
            await asyncio.to_thread(self.sidecar.wait, 20)
        if leftover := self.haproxy():
            leftover.signal(signal.SIGKILL)


@contextlib.asynccontextmanager
async def hello(home: Path, *, replicas: int = 1) -> AsyncIterator[tuple[Gateway, list[Target]]]:
    """A gateway with the service `hello` of project p1; Alice may call it, Bob may not."""
    async with contextlib.AsyncExitStack() as stack:
        control = ControlPlane(token="dsk_g_gateway")
        await control.start()
        stack.push_async_callback(control.stop)
        targets = [await Target(name=f"t{number}").start() for number in range(replicas)]
        for target in targets:
            stack.push_async_callback(target.stop)
        gateway = Gateway(home, control)
        stack.push_async_callback(gateway.stop)
        await gateway.start()
        alice, bob = key(ALICE, projects=["p1"]), key(BOB, projects=["p2"])
        hello = service("hello", *(each.address for each in targets))
        await control.applied(await control.put(hello, alice, bob))
        yield gateway, targets


async def until(holds: Callable[[], Any], *, seconds: float = 20.0, pause: float = 0.01) -> None:
    """Return once `holds()`, plain or async, is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        await asyncio.sleep(pause)


def haproxy_program() -> Path:
    """Return the HAProxy that tests start themselves, the same as their gateways'."""
    named = PROGRAM.get("DSTACK_HAPROXY")
    return binary.find(setting=Path(named) if named else None)


@dataclass
class Load:
    """Constant requests from several connections; `failures` says what went wrong."""

    gateway: Gateway
    method: str = "GET"
    hosts: tuple[str, ...] = ("hello.localhost",)
    count: int = 0
    failures: list[str] = field(default_factory=list)
    _stopping: bool = False
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._send()) for _ in range(8)]
        await until(lambda: self.count > 50)
        return self

    async def __aexit__(self, *_: object) -> None:
        seen = self.count
        await until(lambda: self.count > seen + 50)
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _send(self) -> None:
        while not self._stopping:
            host = self.hosts[self.count % len(self.hosts)]
            try:
                answer = await self.gateway.call("/", host=host, token=ALICE, method=self.method)
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {answer.body[:200]!r}")
            except aiohttp.ClientError as error:
                self.failures.append(repr(error))
            self.count += 1
            await asyncio.sleep(0.003)
