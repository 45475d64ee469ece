"""A real registry of the tests' own, open or with a login, and images pushed to it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.agent.docker import pull
from apps.agent.docker.engine import Engine
from tests.integration.agent.engine_hosts import entered, within
from tests.integration.agent.engines import make_image
from tests.programs import require_program

USER, PASSWORD = "bob", "right"
# Of that password, by bcrypt.
HTPASSWD = f"{USER}:$2y$05$amkWfuCz1KYrWQH4kOnPKuahhNnRKMfkEczlDqf8FctaV.l.f7R5y\n"
START_SECONDS = 20.0


@dataclass
class Registry:
    """`network` is the name of the one that it listens in, if not this machine's."""

    folder: Path
    port: int
    private: bool
    network: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        program = require_program("docker-registry", package="docker-registry")
        with (self.folder / "log").open("ab") as log:
            argv = [*self._within(), program, "serve", str(self._config())]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text()[-1000:])

    def _within(self) -> list[str]:
        return within(self.network) if self.network else []

    def _answers(self) -> bool:
        there = entered(self.network) if self.network else contextlib.nullcontext()
        with contextlib.suppress(OSError), there:
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)
            self.process = None

    def push(self, engine: Engine, name: str, text: str) -> str:
        """Make an image whose own command prints `text`, push it, remove it here; return its
        name."""
        full = f"{self.host}/{name}"
        program = f"#!/bin/sh\necho {text}\nexec httpd -f -p 8000\n"
        make_image(engine.address, full, 'CMD ["/run-me"]', files={"run-me": program})
        auth = (USER, PASSWORD) if self.private else pull.NO_LOGIN
        headers = pull.registry_auth(full, *auth) or {"X-Registry-Auth": "e30="}
        repository, tag = pull.reference(full)
        path = f"/images/{repository}/push"
        with engine.stream("POST", path, query={"tag": tag}, headers=headers) as pieces:
            said = list(pull.json_lines(pieces))
        assert not [one for one in said if "error" in one], said
        engine.call("DELETE", f"/images/{full}")
        return full

    def _config(self) -> Path:
        config: dict[str, object] = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")}},
            "http": {"addr": self.host},
        }
        if self.private:
            (self.folder / "htpasswd").write_text(HTPASSWD)
            login = {"realm": "tests", "path": str(self.folder / "htpasswd")}
            config["auth"] = {"htpasswd": login}
        path = self.folder / "config.yml"
        path.write_text(json.dumps(config))  # which is YAML, too
        return path


@contextlib.contextmanager
def running_registry(*, private: bool = False, network: str = "") -> Iterator[Registry]:
    with tempfile.TemporaryDirectory(prefix="dsta-registry") as folder:
        with socket.socket() as trial:
            trial.bind(("127.0.0.1", 0))
            port = trial.getsockname()[1]
        registry = Registry(Path(folder), port, private, network)
        registry.start()
        try:
            yield registry
        finally:
            registry.stop()
