from __future__ import annotations

import os
import socket

import pytest

from apps.agent.docker import listening as docker_listening
from apps.agent.host.ports import Listener

NOWHERE = "connection refused on 8000: nothing listens on it in the container yet"
LOOPBACK = "where only the container reaches it: listen on 0.0.0.0"


@pytest.mark.parametrize(
    ("listening", "words"),
    [
        ([], NOWHERE),
        ([("127.0.0.11", 41234)], NOWHERE),  # the engine's name server
        ([("127.0.0.1", 8000)], f"it listens on 127.0.0.1 inside the container, {LOOPBACK}"),
        ([("127.0.0.2", 8000)], LOOPBACK),
        ([("::1", 8000)], LOOPBACK),
        ([("::ffff:127.0.0.1", 8000)], LOOPBACK),
        ([("0.0.0.0", 5000)], "nothing listens on it in the container, but on 5000: write that"),
        ([("0.0.0.0", 5000), ("::", 80)], "but on 80 and 5000"),
        ([("127.0.0.1", 5000)], NOWHERE),
        ([("127.0.0.1", 8000), ("0.0.0.0", 9000)], LOOPBACK),
    ],
)
def test_says_why_a_port_is_not_reached(listening: list[tuple[str, int]], words: str) -> None:
    found = [Listener(host, port, inode=1) for host, port in listening]

    said = docker_listening.said(found, 8000)

    assert words in said
    assert said.startswith("connection refused on 8000")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.2"])
def test_says_nothing_where_the_port_is_open(host: str) -> None:
    assert docker_listening.said([Listener(host, 8000, 1), Listener("::1", 8000, 2)], 8000) == ""


def test_looks_only_into_a_network_of_a_containers_own() -> None:
    assert docker_listening.why_not_reached(os.getpid(), 1) == ""
    assert docker_listening.why_not_reached(2**30, 1) == ""
    with socket.create_server(("0.0.0.0", 0)) as ours:
        assert not docker_listening.is_seen(os.getpid(), ours.getsockname()[1])
    assert not docker_listening.is_seen(2**30, 1)
