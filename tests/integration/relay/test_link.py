"""The way from a gateway's machine to a server that nobody can call, by real sshd and ssh."""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.instances.boot import keys
from dstack_web.relay.link import Link, command
from tests.integration.relay.conftest import Far, until

WAY = "http://127.0.0.1:19999/api/agent/enrol"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def address_string(self) -> str:
        return "door"

    def log_message(self, *_: object) -> None:
        pass


class Door(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def door() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dstack-relay-") as name:
        path = Path(name) / "door.sock"
        with Door(str(path), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield path
            server.shutdown()


class Kept:
    """A link that is looked after as the relay does it."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.2):
            self.link.keep()
        self.link.end()

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def kept(far: Far, door: Path) -> Iterator[Kept]:
    made = Kept(far.link(door))
    yield made
    made.end()


def test_its_machine_reaches_the_server_and_nobody_else_does(far: Far, kept: Kept) -> None:
    until(lambda: far.asks(WAY) == "here", seconds=60)

    with pytest.raises(OSError, match=r"refused|timed out"):
        socket.create_connection((far.host.far, 19999), timeout=3)


def test_the_way_is_there_again_soon_after_a_cut(far: Far, kept: Kept) -> None:
    until(lambda: far.asks(WAY) == "here", seconds=60)
    far.host.cut()
    # Both sides have noticed by then.
    until(lambda: far.asks(WAY) == "", seconds=30)

    far.host.mend()

    until(lambda: far.asks(WAY) == "here", seconds=30)


def test_an_end_leaves_no_way_and_no_key(far: Far, door: Path) -> None:
    kept = Kept(far.link(door))
    until(lambda: far.asks(WAY) == "here", seconds=60)

    kept.end()

    until(lambda: far.asks(WAY) == "", seconds=30)
    assert list(far.folder.glob("link*/key")) == []


def test_another_key_is_not_let_in(far: Far, door: Path) -> None:
    assert "Permission denied (publickey)" in _said(far, door, key=keys.new().private)


def test_another_machine_at_its_address_gets_nothing(far: Far, door: Path) -> None:
    said = _said(far, door, host_key=keys.new().public)

    assert "Host key verification failed" in said


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_nobody_else_can_come_in(far: Far, door: Path, user: str) -> None:
    assert "Permission denied" in _said(far, door, user=user)


def _said(far: Far, door: Path, **changes: object) -> str:
    """Connect once by the link's own command; return how that failed."""
    link = far.link(door, **changes)
    folder = max(far.folder.glob("link*"), key=lambda each: each.stat().st_mtime_ns)
    words = command(link.to, door=door, connect_seconds=15)
    until(lambda: _is_listening(far), seconds=60)
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    link.end()
    assert ran.returncode == 255
    return ran.stderr


def _is_listening(far: Far) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((far.host.far, far.to.ssh_port)) == 0


FORBIDDEN = [
    ["-N", "-R", "127.0.0.1:20000:127.0.0.1:9"],
    ["-N", "-R", "0.0.0.0:19999:127.0.0.1:9"],
    ["-N", "-R", "127.0.0.1:0:127.0.0.1:9"],
    ["-N", "-R", "127.0.0.1:80:127.0.0.1:9"],
    ["-N", "-R", "/tmp/dstack-relay-test.sock:127.0.0.1:9"],
    ["-W", "127.0.0.1:19999"],
    ["-W", "127.0.0.1:2223"],
    ["-W", "127.0.0.1:1"],
    [],
    ["-tt"],
    ["-s"],
]


@pytest.mark.parametrize("options", FORBIDDEN, ids=" ".join)
def test_the_server_itself_may_do_nothing_else_there(
    far: Far, door: Path, options: list[str]
) -> None:
    link = far.link(door)
    folder = max(far.folder.glob("link*"), key=lambda each: each.stat().st_mtime_ns)
    words = command(link.to, door=door, connect_seconds=15)
    asked = [each for each in words if each not in ("-N", "-T", "-R") and str(door) not in each]
    at = asked.index("-p")
    remote = ["sftp"] if options == ["-s"] else ["id"] if options in ([], ["-tt"]) else []
    until(lambda: _is_listening(far), seconds=60)

    ran = subprocess.run(
        [*asked[:at], *options, *asked[at:], *remote],
        cwd=folder,
        env={**os.environ, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    link.end()
    assert ran.returncode == 255, ran.stderr
    assert "Permission denied" not in ran.stderr  # it was let in
    assert "uid=" not in ran.stdout
    assert not Path("/tmp/dstack-relay-test.sock").exists()
