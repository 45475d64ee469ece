"""`manage.py up` itself: every real child, on a home with a space in its path."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from dstack_web import processes
from dstack_web.embedded import leftovers
from tests.free_ports import free_port
from tests.integration.embedded import outsider

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS, STOP_SECONDS = 60, 12
BANNER = re.compile(
    r"dstack-web is ready\n"
    r"  Dashboard   http://127\.0\.0\.1:\d+\n"
    r"  Sign in     admin / \S+\n"
    r"  API token   dsk_u_\S+\n"
    r"  Services    http://<run name>\.localhost:(\d+)   "
    r"\(or http://localhost:\1/services/main/<run name>/\)\n"
    r"  OpenAI API  http://localhost:\1/v1\n"
)
pytestmark = pytest.mark.timeout(180)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


class Server:
    """A `manage.py up`: what it is started with, and what it has printed."""

    def __init__(
        self,
        home: Path,
        port: int,
        gateway_port: int,
        python: tuple[str, ...] = (sys.executable,),
    ) -> None:
        self.home, self.port, self.gateway_port = home, port, gateway_port
        self.out = home.parent / f"out-{time.monotonic_ns()}"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*python, str(ROOT / "manage.py"), "up"],
                env=self.environ(),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def environ(self) -> dict[str, str]:
        return {
            **outsider.env_of(self.home.parent),
            "PATH": os.environ["PATH"],
            "DSTACK_HOME": str(self.home),
            "DSTACK_PORT": str(self.port),
            "DSTACK_GATEWAY_PORT": str(self.gateway_port),
        }

    def said(self) -> str:
        return self.out.read_text()

    def wait_ready(self) -> None:
        wait_for(
            lambda: "OpenAI API" in self.said() or self.process.poll() is not None, START_SECONDS
        )
        assert self.process.poll() is None, self.said()

    def sessions(self) -> list[processes.ProcessId]:
        return leftovers.noted(self.home / "server/run/children.json")

    def status(self, path: str) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5).status_code
        except httpx.TransportError:
            return 0


def run_in(folder: Path, python: tuple[str, ...] = (sys.executable,)) -> Iterator[Server]:
    home = folder / "a home"
    made = Server(home, free_port(), free_port(), python)
    try:
        made.wait_ready()
        yield made
    finally:
        made.process.terminate()
        made.process.wait(STOP_SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from run_in(tmp_path_factory.mktemp("up"))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    yield from run_in(tmp_path)


@pytest.fixture
def ordinary_users_server() -> Iterator[Server]:
    # Not in pytest's folder, which only root may pass.
    with tempfile.TemporaryDirectory(prefix="dstack-up-", dir="/tmp") as name:
        outsider.give(Path(name))
        yield from run_in(Path(name), tuple(outsider.python(Path(name))))


def child_named(server: Server, part: str) -> processes.Stat:
    """The leader whose command line holds `part`."""
    found = [
        stat
        for leader in server.sessions()
        if part in Path(f"/proc/{leader.pid}/cmdline").read_text().replace("\0", " ")
        and (stat := processes.read_stat(leader.pid))
    ]
    assert len(found) == 1
    return found[0]


def test_prints_exactly_the_block(server: Server) -> None:
    assert BANNER.fullmatch(server.said()), server.said()


def test_gives_the_command_line_the_printed_token(server: Server) -> None:
    project = yaml.safe_load((server.home / "config.yml").read_text())["projects"][0]

    answer = httpx.get(
        f"{project['url']}/api/users/me",
        headers={"Authorization": f"Bearer {project['token']}"},
        timeout=5,
    )

    assert f"API token   {project['token']}\n" in server.said()
    assert answer.status_code == 200


def test_refuses_a_second_copy_with_one_line(server: Server) -> None:
    second = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.startswith("dstack-web: already runs on ")
    assert second.stderr.count("\n") == 1


def test_refuses_a_taken_port_with_one_line(server: Server, tmp_path: Path) -> None:
    other = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "up"],
        env={**server.environ(), "DSTACK_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert (other.returncode, other.stdout) == (1, "")
    assert other.stderr == (
        f"dstack-web: Port {server.port} is already in use; stop what uses it, or set DSTACK_PORT\n"
    )


@pytest.mark.parametrize(
    "part",
    ["granian", "front.cfg", "-Q control", "-Q outside", " beat "]
    + ["valkey-server", "postgres -D", "gateway"],
)
def test_brings_back_a_child_that_was_killed(server: Server, part: str) -> None:
    before = child_named(server, part)

    os.kill(before.pid, signal.SIGKILL)

    wait_for(lambda: processes.ProcessId(before.pid, before.started_ticks) not in server.sessions())
    wait_for(lambda: server.status("/readyz") == 200)
    assert child_named(server, part).pid != before.pid


def test_stops_everything_and_starts_again_with_its_state(own_server: Server) -> None:
    sessions = own_server.sessions()

    own_server.process.send_signal(signal.SIGTERM)
    own_server.process.send_signal(signal.SIGTERM)

    assert own_server.process.wait(STOP_SECONDS) == 0
    assert not any(processes.session_members(leader.pid) for leader in sessions)
    again = Server(own_server.home, own_server.port, own_server.gateway_port)
    again.wait_ready()
    assert "dsk_u_" not in again.said()
    again.process.terminate()
    assert again.process.wait(STOP_SECONDS) == 0


@outsider.only_root
def test_runs_as_an_ordinary_user_even_one_without_a_name(ordinary_users_server: Server) -> None:
    owners = {
        Path(f"/proc/{leader.pid}").stat().st_uid for leader in ordinary_users_server.sessions()
    }

    ordinary_users_server.process.terminate()

    assert BANNER.fullmatch(ordinary_users_server.said().partition("dstack-web: ")[0])
    assert ordinary_users_server.process.wait(STOP_SECONDS) == 0
    assert owners == {outsider.NAMELESS_ID}
