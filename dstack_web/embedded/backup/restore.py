"""`manage.py restore FILE`: a server in an empty home, from what `backup` wrote.

Ports and paths are those of the new home: the next `up` brings the rows that name them up to date,
and the agent, which has nothing of what it should run, starts it.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from apps.core.stores import atomic_write
from dstack_web import processes
from dstack_web.embedded.backup.backup import (
    ABOUT,
    CLI_CONFIG,
    DUMP,
    FORM,
    KEPT,
    SECRETS,
    ours,
    run,
)
from dstack_web.embedded.home import Home, read_secrets
from dstack_web.embedded.servers.postgres import STOP_SIGNAL, Postgres, server_env
from dstack_web.embedded.sockets import socket_folder
from dstack_web.processes import StartFailed

START_SECONDS = STOP_SECONDS = 60
USAGE = """usage: manage.py restore FILE

Makes a server in DSTACK_HOME, which must not have one yet, from FILE of `manage.py backup`.
Start it with `manage.py up` then; its ports may be others.
"""


def main(arguments: Sequence[str]) -> int:
    """Restore a backup and return the exit code."""
    return run(arguments, USAGE, restore)


def restore(*, home: Home, file: Path, environ: Mapping[str, str]) -> str:
    """Make a server of a backup and return what to say.

    Raise StartFailed; what was begun is taken away, so that it can be tried again.
    """
    ours(home, environ)
    if home.server.exists() and any(home.server.iterdir()):
        raise StartFailed(f"{home.server} is not empty: name an empty folder in DSTACK_HOME")
    _check(file)
    home.prepare()
    lock = home.lock()
    try:
        dump = _unpack(file, home)
        _load(home, dump)
    except BaseException:
        shutil.rmtree(home.server, ignore_errors=True)
        raise
    finally:
        os.close(lock)
    dump.unlink()
    return f"{home.root} is restored: start it with `manage.py up`."


def _check(file: Path) -> None:
    """Refuse what is no whole backup before anything is made."""
    try:
        with tarfile.open(file) as tar:
            about = tar.extractfile(ABOUT)
            found = json.loads(about.read()) if about else {}
            names = set(tar.getnames())
    except (KeyError, ValueError, EOFError, zlib.error, tarfile.TarError) as error:
        raise StartFailed(f"{file} is no whole backup of `manage.py backup`") from error
    if not isinstance(found, dict) or found.get("form") != FORM:
        raise StartFailed(f"{file} is of a form that this version does not read")
    if not {DUMP, SECRETS} <= names:
        raise StartFailed(f"{file} is not whole: the backup broke off")


def _unpack(file: Path, home: Home) -> Path:
    """Put everything in its place and return where the dump of the database lies."""
    with tarfile.open(file) as tar:
        for member in tar:
            target = _target(member.name, home)
            content = tar.extractfile(member) if member.isreg() else None
            if target is None or content is None:
                continue
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
                shutil.copyfileobj(content, out)
                out.truncate()
    # A file that cannot be understood is told now, not at the first start.
    secrets = read_secrets(home.server / SECRETS)
    atomic_write.write_text(home.server / SECRETS, json.dumps(secrets, indent=2))
    return home.server / DUMP


def _target(name: str, home: Home) -> Path | None:
    """Only places that a backup has: whoever changed the file writes nowhere else."""
    path = PurePosixPath(name)
    if name in (DUMP, SECRETS):
        return home.server / name
    if name == CLI_CONFIG:
        # Whoever has one uses it for other servers, too.
        return None if (home.root / name).exists() else home.root / name
    inside = ".." not in path.parts and path.parts[:1] == ("server",)
    below = PurePosixPath(*path.parts[1:])
    known = any(below.is_relative_to(kept) for kept in KEPT)
    return home.server / below if inside and known else None


def _load(home: Home, dump: Path) -> None:
    postgres = Postgres(data=home.folder("pg"), sockets=socket_folder(home.folder("run")))
    postgres.prepare()
    with _running(postgres, home):
        postgres.create_database()
        with dump.open("rb") as file:
            postgres.run_tool(
                "pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", stdin=file
            )


@contextmanager
def _running(postgres: Postgres, home: Home) -> Iterator[None]:
    log = home.log("postgres")
    process = processes.spawn(argv=postgres.argv(), env=server_env(), log=log)
    try:
        processes.wait_ready(
            name="PostgreSQL",
            process=process,
            is_ready=postgres.is_ready,
            log=log,
            seconds=START_SECONDS,
        )
        yield
    finally:
        processes.stop(process=process, how=STOP_SIGNAL, seconds=STOP_SECONDS)
