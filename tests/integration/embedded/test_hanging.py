"""Children that hang, and servers that are ended again and again, below a real supervisor."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dstack_web.embedded.servers.postgres import DATABASE, Postgres
from dstack_web.embedded.sockets import folder_for
from tests.integration.embedded.test_supervisor import Host, start, wait_for

__all__ = ["start"]
pytestmark = pytest.mark.timeout(120)

# Beats ten times a second until the file named first is there; then it lives on without a word.
PROGRAM = """
import os, pathlib, sys, time
while True:
    if not pathlib.Path(sys.argv[1]).exists():
        os.write(int(os.environ["DSTACK_PULSE_FD"]), b".")
    time.sleep(0.1)
"""
QUICK = {"pulse_seconds": 0.5, "every_seconds": 0.2, "silent_seconds": 2.0}
# Of a server that does not come up the pause would be ten times as long after so many ends.
ENDS, END_EVERY_SECONDS, LONGEST_PAUSE_SECONDS = 7, 3.0, 3.0


def beating(silence: Path) -> list[str]:
    return [sys.executable, "-c", PROGRAM, str(silence)]


def test_starts_a_child_without_a_pulse_anew(start: Callable[..., Host], tmp_path: Path) -> None:
    host = start(watch=QUICK, one=beating(tmp_path / "silence"))
    before = host.pid("one")
    time.sleep(3)  # longer than the silence that is allowed
    assert host.pid("one") == before

    (tmp_path / "silence").touch()

    assert host.says().startswith("one has not answered for ")
    assert host.says().startswith("one ended (SIGKILL); starting it again in 0.1 s")
    (tmp_path / "silence").unlink()
    wait_for(lambda: host.pid("one") != before and host.pid("one").is_alive())


def test_starts_a_child_that_was_stopped_anew(start: Callable[..., Host], tmp_path: Path) -> None:
    host = start(watch=QUICK, one=beating(tmp_path / "silence"), two=beating(tmp_path / "silence"))
    before, other = host.pid("one"), host.pid("two")

    os.kill(before.pid, signal.SIGSTOP)

    wait_for(lambda: host.pid("one") != before and host.pid("one").is_alive())
    assert host.pid("two") == other


def test_keeps_the_children_of_a_machine_that_slept(
    start: Callable[..., Host], tmp_path: Path
) -> None:
    host = start(watch={**QUICK, "misses": 1}, one=beating(tmp_path / "silence"))
    child = host.pid("one")
    supervisor, one = psutil.Process(host.process.pid), psutil.Process(child.pid)
    time.sleep(1)

    supervisor.suspend()
    one.suspend()
    time.sleep(5)
    one.resume()
    supervisor.resume()

    time.sleep(3)
    assert host.pid("one") == child
    assert child.is_alive()


def database(host: Host) -> Postgres:
    server = host.home / "server"
    return Postgres(data=server / "pg", sockets=folder_for(server / "run"))


def end_once(host: Host, server: Postgres, how: signal.Signals) -> None:
    """End the database and wait for the next one."""
    ended = host.pid("postgres")
    os.kill(ended.pid, how)
    wait_for(lambda: host.pid("postgres") != ended and server.is_ready(), 60)


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL]
)
def test_a_server_that_is_ended_often_comes_back_soon(
    start: Callable[..., Host], how: signal.Signals
) -> None:
    host = start(postgres=[])
    server = database(host)
    wait_for(server.is_ready, 30)
    for _ in range(ENDS):
        due_at = time.monotonic() + END_EVERY_SECONDS
        end_once(host, server, how)
        time.sleep(max(due_at - time.monotonic(), 0))

    said = [host.says() for _ in range(ENDS)]
    pauses = [float(each.partition("starting it again in ")[2].split()[0]) for each in said]
    assert max(pauses) <= LONGEST_PAUSE_SECONDS


def test_a_stopped_database_comes_back_with_every_row(start: Callable[..., Host]) -> None:
    host = start(postgres=[])
    server = database(host)
    wait_for(server.is_ready, 30)
    server.create_database()
    ask(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    before = host.pid("postgres")

    os.kill(before.pid, signal.SIGSTOP)

    wait_for(lambda: host.pid("postgres") != before and server.is_ready(), 40)
    assert ask(server, "SELECT count(*) FROM kept") == "1000"
    assert "ended (code 0)" in "".join(host.says() for _ in range(2))


def ask(server: Postgres, query: str) -> str:
    done = server._run("psql", "-d", DATABASE, "-Atc", query)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
