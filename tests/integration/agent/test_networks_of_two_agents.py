"""Two agents of one host share an address on its loopback, and neither takes it from the other."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.host import users
from apps.agent.isolation.network import Network

pytestmark = pytest.mark.skipif(not users.can_isolate(), reason="needs root, to make namespaces")

OURS, THEIRS = "0a1b2c3d4e", "5f6a7b8c9d"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    made = Network(tmp_path / "ours", home_id=OURS)
    made.open()
    yield made
    made.close()


@pytest.fixture
def neighbour_that_closes(tmp_path: Path) -> Iterator[None]:
    """Another agent of the host, which ends over and over."""
    over = threading.Event()

    def close() -> None:
        neighbour = Network(tmp_path / "theirs", home_id=THEIRS)
        # Between two times it lets others at the lock.
        while not over.wait(0.001):
            neighbour._give_address_back()

    thread = threading.Thread(target=close)
    thread.start()
    yield
    over.set()
    thread.join()


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name.startswith(f"dsk{OURS[:5]}")]


@pytest.mark.usefixtures("neighbour_that_closes")
def test_one_that_ends_takes_no_address_from_one_that_starts_a_replica(
    network: Network, tmp_path: Path
) -> None:
    uid = users.take(tmp_path)
    for _ in range(20):
        inside = network.make(uid=uid, port=8000)

        ways = subprocess.run(
            ["ip", "route", "show", inside.address], check=True, capture_output=True, text=True
        ).stdout
        assert f"src {network.host_address}" in ways

        os.close(inside.namespace)
        # The kernel clears it away when it comes to that.
        for name in interfaces():
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)


def test_one_that_has_a_users_number_next_has_its_route(network: Network, tmp_path: Path) -> None:
    """The kernel clears away what another agent's replica had when it comes to that."""
    uid = users.take(tmp_path)
    neighbour = Network(tmp_path / "theirs", home_id=THEIRS)
    before = neighbour.make(uid=uid, port=8000)

    inside = network.make(uid=uid, port=8000)

    ways = subprocess.run(
        ["ip", "route", "show", inside.address], check=True, capture_output=True, text=True
    ).stdout
    assert f"dev dsk{OURS[:5]}" in ways
    os.close(before.namespace)
    os.close(inside.namespace)
