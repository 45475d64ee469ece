"""A database with all its tables and no row, made once: half of what a first start costs.

That a server makes one itself is tested where nothing is prepared (tests/integration/embedded).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dstack_web import processes
from dstack_web.embedded.servers.postgres import SMALL, THROWAWAY, Postgres

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, MIGRATE_SECONDS = 60, 120
PREFIX = f"dstack-prepared-{os.geteuid()}-"


def copy_database(data: Path) -> None:
    """Put a prepared database where a server that starts looks for its own."""
    data.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _prepared() as found:
        shutil.copytree(found, data, symlinks=True)
    data.chmod(0o700)


@contextlib.contextmanager
def _prepared() -> Iterator[Path]:
    """Yield the folder of a database that has ended, made by the first process that asks.

    Meanwhile nobody replaces it: the tests of another checkout may want another one.
    """
    temporary = Path(tempfile.gettempdir())
    place = temporary / f"{PREFIX}{_fingerprint()}"
    with Path(f"{temporary / PREFIX}lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            for old in temporary.glob(f"{PREFIX}*/"):
                shutil.rmtree(old)
            _make(place)
        yield place


def _fingerprint() -> str:
    """Name the tables: those of other migrations, or of another server, are others."""
    found = hashlib.sha256(sys.prefix.encode())
    for path in sorted(ROOT.glob("apps/*/migrations/*.py")):
        found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _make(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="dsp") as folder:
        postgres = Postgres(
            data=place.with_name(f"{place.name}.new"),
            sockets=Path(folder),
            settings={**SMALL, **THROWAWAY},
        )
        shutil.rmtree(postgres.data, ignore_errors=True)
        postgres.prepare()
        log = Path(folder, "postgres.log")
        env = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"}
        server = processes.spawn(argv=postgres.argv(), env=env, log=log)
        try:
            processes.wait_ready(
                name="postgres",
                process=server,
                is_ready=postgres.is_ready,
                log=log,
                seconds=START_SECONDS,
            )
            postgres.create_database()
            _migrate(postgres.url())
        finally:
            processes.stop(process=server, how=signal.SIGINT, seconds=20)
        postgres.data.rename(place)


def _migrate(url: str) -> None:
    env = {**os.environ, "DATABASE_URL": url, "DSTACK_DB_POOL": "0", "DSTACK_SECRET_KEY": "none"}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=MIGRATE_SECONDS
    )
    assert done.returncode == 0, done.stderr
