"""A pytest plugin: a private PostgreSQL and Valkey for each test process, only when needed.

Loaded by `-p tests.servers`, because Django's settings are read before any conftest.py. The
addresses are chosen at once, the servers start with the first test that asks for one, and they die
with the test process, however it ends. DATABASE_URL and REDIS_URL in the environment win.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dstack_web import processes
from dstack_web.embedded.servers.postgres import SMALL, THROWAWAY, Postgres
from dstack_web.embedded.servers.valkey import Valkey

START_SECONDS = 30
# Set by the first process of a session, so that an xdist worker, which inherits its addresses,
# knows that they are not the user's.
PRIVATE = "DSTACK_TEST_PRIVATE"
# Not pytest's own temporary folder: a socket's path must stay short.
TEMPORARY = Path("/tmp")
PREFIX = "dstack-tests-"


@dataclass
class Servers:
    """The servers of this test process: where they will lie, and which are running."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    owner_pid: int = field(default_factory=os.getpid)

    @property
    def postgres(self) -> Postgres:
        settings = {**SMALL, **THROWAWAY, "max_connections": "100"}
        return Postgres(data=self.folder / "pg", sockets=self.folder, settings=settings)

    @property
    def valkey(self) -> Valkey:
        return Valkey(folder=self.folder / "valkey", sockets=self.folder)

    def is_private(self, variable: str) -> bool:
        """Tell whether the address in `variable` is one of these servers."""
        return os.environ[variable] in {self.postgres.url(), self.valkey.url()}

    def need_postgres(self) -> None:
        """Start PostgreSQL unless it runs or is the user's own."""
        if not self.is_private("DATABASE_URL") or "postgres" in self.running:
            return
        self.postgres.prepare()
        self._start("postgres", self.postgres.argv(), self.postgres.is_ready)
        self.postgres.create_database()

    def need_valkey(self) -> None:
        """Start Valkey unless it runs or is the user's own."""
        if not self.is_private("REDIS_URL") or "valkey" in self.running:
            return
        self.valkey.prepare()
        self._start("valkey", self.valkey.argv(), self.valkey.is_ready)

    def stop(self) -> None:
        if os.getpid() != self.owner_pid:
            return
        for process in self.running.values():
            processes.stop(process=process, how=signal.SIGINT, seconds=5)
        self.running.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, argv: list[str], is_ready: Callable[[], bool]) -> None:
        log = self.folder / f"{name}.log"
        env = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
        process = processes.spawn(argv=argv, env=env, log=log)
        self.running[name] = process
        processes.wait_ready(
            name=name, process=process, is_ready=is_ready, log=log, seconds=START_SECONDS
        )


def choose_addresses() -> Servers:
    """Set, for this process and its children, what Django's settings read."""
    remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=TEMPORARY))
    found = Servers(folder)
    inherited = os.environ.get(PRIVATE, "").split(",")
    private = []
    for name, url in (("DATABASE_URL", found.postgres.url()), ("REDIS_URL", found.valkey.url())):
        if name in inherited or name not in os.environ:
            os.environ[name] = url
            private.append(name)
    os.environ[PRIVATE] = ",".join(private)
    os.environ["DSTACK_HOME"] = str(folder / "home")
    os.environ["DSTACK_SECRET_KEY"] = "only-for-tests-" + "k" * 40
    os.environ["DSTACK_METRICS_TOKEN"] = "of-prometheus-in-tests"
    os.environ["DSTACK_ENCRYPTION_KEYS"] = base64.urlsafe_b64encode(b"0" * 32).decode()
    # A test's connection must see what the test wrote in its open transaction: no pool.
    os.environ["DSTACK_DB_POOL"] = "0"
    return found


def remove_leftovers() -> None:
    """Remove the folders of test processes that were killed."""
    for folder in TEMPORARY.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        # Other processes remove the same ones, or their own at their end.
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_uid == os.geteuid() and not Path("/proc", pid).exists():
                shutil.rmtree(folder, ignore_errors=True)


servers = choose_addresses()
atexit.register(servers.stop)
