"""The proxy in front of a small web server, both real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx

from dstack_web.front import config
from dstack_web.front.config import Front
from dstack_web.front.room import Room
from dstack_web.processes import kill_session, session_members
from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = 30.0


def eventually(check: Callable[[], Any], *, seconds: float = READY_SECONDS) -> Any:
    """Return the first truthy answer of `check`, or fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {check}"
        time.sleep(0.02)
    return answer


@dataclass
class Stage:
    """Both processes, in `folder`."""

    folder: Path
    room: Room = field(default_factory=lambda: Room(connections=1000, per_address=600))
    trusted: tuple[str, ...] = ()
    patience_seconds: int = 20
    bind: str = "127.0.0.1"
    port: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://[{self.bind}]:{self.port}" if ":" in self.bind else self.local_url

    @property
    def local_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_front(self) -> None:
        self.port = self.port or free_port()
        trusted = tuple(map(ip_network, self.trusted))
        web = self.folder / "web.sock"
        front = Front(self.bind, self.port, web, self.room, trusted, self.patience_seconds)
        config.write(self.folder, front)
        self._start("front", config.argv(self.folder, os.environ))
        eventually(lambda: self.status(config.ALIVE_PATH) == 200)

    def start_web(self, *, slow_seconds: float = 20) -> None:
        path = self.folder / "web.sock"
        path.unlink(missing_ok=True)
        serve = ["--interface", "asginl", "--loop", "asyncio", "--runtime-mode", "st", "--no-ws"]
        bind = ["--uds", str(path), "--uds-permissions", "0600", "--backpressure", "2000"]
        app = "tests.integration.front.echo:application"
        argv = [sys.executable, "-m", "granian", *serve, *bind, app]
        self._start("web", argv, SLOW_SECONDS=str(slow_seconds))

    def start(self) -> None:
        self.start_web()
        self.start_front()
        eventually(lambda: self.status("/") == 200)

    def _start(self, name: str, argv: list[str], **more: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                argv,
                env={**os.environ, **more},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGKILL)
        kill_session(process.pid)
        process.wait()
        eventually(lambda: not session_members(process.pid))

    def kill_worker_of_web(self) -> None:
        """End what serves, while its stopped parent still holds the socket open."""
        parent = self.running["web"].pid
        os.kill(parent, signal.SIGSTOP)
        workers = [each.pid for each in session_members(parent) if each.pid != parent]
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not [each for each in session_members(parent) if each.pid in workers])

    def is_asked_slowly(self) -> bool:
        """Whether the web server works on a request for /slow."""
        return httpx.get(f"{self.url}/slows", timeout=30).content != b"0"

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def status(self, path: str) -> int:
        try:
            return httpx.get(f"{self.url}{path}", timeout=5).status_code
        except httpx.TransportError:
            return 0

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=10, source_address=(source, 0)
        )


def is_closed(connection: socket.socket, *, seconds: float = 0.0) -> bool:
    """Tell whether the other side closes the connection within `seconds`; reads what comes."""
    end = time.monotonic() + seconds
    while True:
        connection.settimeout(max(end - time.monotonic(), 0.01))
        try:
            if not connection.recv(65536):
                return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
