"""`manage.py backup FILE`: one file for all that a server knows; `restore` makes a server of it.

The file is a tar: the database as `pg_dump` writes it, then secrets, uploads, the agent's address
and the gateway's certificates. It is written while the server runs. A blob lies there before its
row and stays there longer, so that a dump that is taken first finds all its blobs afterwards.

Whoever has the file has all secrets: it is for its owner alone (mode 0600).
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from apps.core.stores import atomic_write
from dstack_web.embedded.home import Home
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.sockets import folder_for
from dstack_web.processes import StartFailed

FORM = 1
ABOUT, DUMP, SECRETS, CLI_CONFIG = "about.json", "database.dump", "secrets.json", "config.yml"
Verb = Callable[..., str]
# Of the server's folder; what else lies there is made anew.
KEPT = ("blobs", "agent/config.json", "gateway/tls")
USAGE = """usage: manage.py backup FILE

Writes all that the running server of DSTACK_HOME knows to FILE: database, uploads, keys.
Whoever has FILE has every secret in it.
"""


def main(arguments: Sequence[str]) -> int:
    """Write a backup and return the exit code."""
    return run(arguments, USAGE, backup)


def run(arguments: Sequence[str], usage: str, verb: Verb) -> int:
    """Do what takes a home and a file, and say what came of it."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        asks_help = list(arguments) in (["-h"], ["--help"])
        (sys.stdout if asks_help else sys.stderr).write(usage)
        return 0 if asks_help else 2
    home, file = Home.from_environment(os.environ), Path(arguments[0]).absolute()
    try:
        said = verb(home=home, file=file, environ=os.environ)
    except StartFailed as error:
        sys.stderr.write(f"dstack-web: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"dstack-web: {error.filename or file}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{said}\n")
    return 0


def backup(*, home: Home, file: Path, environ: Mapping[str, str]) -> str:
    """Write the backup in one step and return what to say. Raise StartFailed."""
    postgres = ours(home, environ)
    if not postgres.is_ready():
        raise StartFailed(f"no server runs on {home.root}: start it with `manage.py up`")
    dump = file.with_name(f".{file.name}.database")
    try:
        _dump(postgres, dump)
        with atomic_write.replaced(file) as raw, tarfile.open(fileobj=raw, mode="w:gz") as tar:
            about = {"form": FORM, "version": version("dstack-web"), "made_at": time.time()}
            _add_text(tar, ABOUT, json.dumps(about))
            _add_text(tar, SECRETS, json.dumps(_secrets(home, environ)))
            tar.add(dump, DUMP)
            for name, path in _files(home):
                _add_file(tar, name, path)
    finally:
        dump.unlink(missing_ok=True)
    return f"{file} holds {home.root}, with every secret of it: keep it where nobody else reads."


def ours(home: Home, environ: Mapping[str, str]) -> Postgres:
    """Return the home's own database. Raise StartFailed where it has another one."""
    if environ.get("DATABASE_URL"):
        raise StartFailed(
            "DATABASE_URL names a database that is not in the home: use its own pg_dump, and keep "
            "server/blobs and the keys with it"
        )
    return Postgres(data=home.folder("pg"), sockets=folder_for(home.folder("run")))


def _dump(postgres: Postgres, to: Path) -> None:
    with atomic_write.replaced(to) as file:
        postgres.run_tool("pg_dump", "-Fc", "--no-owner", "--no-privileges", stdout=file)


def _secrets(home: Home, environ: Mapping[str, str]) -> dict[str, str]:
    """The keys that are in use, wherever they come from."""
    found = home.secrets(environ)
    return {
        "secret_key": found.secret_key,
        "encryption_keys": ",".join(found.encryption_keys),
        "gateway_token": found.gateway_token,
        "metrics_token": found.metrics_token,
    }


def _files(home: Home) -> Iterator[tuple[str, Path]]:
    if (home.root / CLI_CONFIG).is_file():
        yield CLI_CONFIG, home.root / CLI_CONFIG
    for kept in KEPT:
        top = home.server / kept
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield f"server/{path.relative_to(home.server)}", path


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.size = 0o600, len(text.encode())
    tar.addfile(info, io.BytesIO(text.encode()))


def _add_file(tar: tarfile.TarFile, name: str, path: Path) -> None:
    try:
        tar.add(path, name)
    except FileNotFoundError:
        return  # an upload that nothing needed, and so nothing in the dump does
