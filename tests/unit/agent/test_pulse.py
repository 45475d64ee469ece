"""How an agent tells systemd that it works."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator

import pytest

from apps.agent.host import pulse


@pytest.fixture
def systemd() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        yield listening


@pytest.fixture(autouse=True)
def no_beat_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_told_at", float("-inf"))


@pytest.mark.parametrize("abstract", [False, True])
def test_is_told_once_a_second(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, abstract: bool
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/notify"
        systemd.bind(f"\0{path}" if abstract else path)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{path}" if abstract else path)

        for _ in range(3):
            pulse.beat()

        assert systemd.recv(100) == b"WATCHDOG=1"
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "x" * 200, "@"])
def test_where_nobody_listens_that_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    pulse.beat()
