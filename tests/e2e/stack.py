"""The whole product as a user starts it: `manage.py up` in a home of its own on free ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.e2e import prepared
from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
PASSWORD = "a long password of the tests"
# Where replicas see what a test sees: those with a network of their own have their own /tmp.
SEEN_BY_REPLICAS = Path("/var/lib" if os.geteuid() == 0 else tempfile.gettempdir())


def eventually(
    check: Callable[[], Any], *, seconds: float = 20.0, what: str = "", every: float = 0.05
) -> Any:
    """Return the first truthy answer of `check`, or fail after `seconds`."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or check}"
        time.sleep(every)
    return answer


@dataclass
class Stack:
    """A running server. `token` is the administrator's."""

    home: Path
    port: int
    gateway_port: int
    more: Mapping[str, str] = field(default_factory=dict)
    # The words before manage.py: a Python, perhaps as another user.
    python: Sequence[str] = (sys.executable,)
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        config = yaml.safe_load((self.home / "config.yml").read_text())
        token: str = config["projects"][0]["token"]
        return token

    def start(self) -> None:
        log = self.log.open("a")
        command = [*self.python, str(ROOT / "manage.py"), "up"]
        self.process = subprocess.Popen(
            command, env=self.environ(), stdout=log, stderr=log, text=True, cwd=ROOT
        )
        ready = f"{self.url}/readyz"
        eventually(lambda: self._serving(ready), seconds=START_SECONDS, what=self.said())

    def _serving(self, ready: str) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said()
        # Printed last, when everything answers.
        return "OpenAI API" in self.said().rpartition("--started--")[2] and answers(ready)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def stop(self, *, with_signal: int = signal.SIGTERM, seconds: float = 15.0) -> int:
        assert self.process is not None
        self.process.send_signal(with_signal)
        code = self.process.wait(seconds)
        self._mark_end()
        return code

    def kill(self) -> None:
        """End the supervisor as the machine's lack of memory would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._mark_end()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _mark_end(self) -> None:
        with self.log.open("a") as file:
            file.write("--started--\n")

    @property
    def log(self) -> Path:
        """What the supervisor printed, at this start and the ones before."""
        return self.home.parent / f"{self.home.name}.log"

    def environ(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return {
            **kept,
            "DSTACK_HOME": str(self.home),
            "DSTACK_PORT": str(self.port),
            "DSTACK_GATEWAY_PORT": str(self.gateway_port),
            "DSTACK_ADMIN_PASSWORD": PASSWORD,
            **self.more,
        }

    def dstack(self, *words: str, cwd: Path | None = None, code: int | None = 0) -> str:
        """Run the command line as a user does and return what it printed."""
        done = subprocess.run(
            [*self.command, *words],
            env=self.environ(),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=90,
            stdin=subprocess.DEVNULL,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def command(self) -> list[str]:
        """The command line, as its first words."""
        return [*self.python, str(Path(sys.executable).parent / "dstack")]

    def api(self, method: str, path: str, *, token: str | None = None, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"}
        answer = httpx.request(method, f"{self.url}/api{path}", headers=headers, timeout=30, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def call(
        self, name: str, path: str = "/", *, method: str = "GET", **headers: str
    ) -> httpx.Response:
        """Call a service by its host name, without a resolver."""
        url = f"http://127.0.0.1:{self.gateway_port}{path}"
        host = {"Host": f"{name}.localhost:{self.gateway_port}"}
        return httpx.request(method, url, headers={**host, **headers}, timeout=15)

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def children(self) -> dict[str, int]:
        """The supervisor's children by name -> process id."""
        file = self.home / "server" / "run" / "children.json"
        return {name: pid for name, (pid, _) in json.loads(file.read_text())["children"].items()}


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def new(folder: Path, *, python: Sequence[str] = (sys.executable,), **more: str) -> Stack:
    """Start a server in `folder`; the caller stops it."""
    stack = Stack(folder / "home", free_port(), free_port(), more, python)
    folder.mkdir(parents=True, exist_ok=True)
    if python == (sys.executable,) and "DATABASE_URL" not in more:
        prepared.copy_database(stack.home / "server" / "pg")
    stack.start()
    return stack
