from __future__ import annotations

import os
import socket

import pytest

from apps.agent.host import ports


def test_gives_each_port_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "LAST", ports.FIRST + 20)
    given = ports.Ports([ports.FIRST])

    first = [given.take() for _ in range(10)]

    assert len(set(first)) == 10
    assert ports.FIRST not in first
    assert all(ports.FIRST <= port <= ports.FIRST + 20 for port in first)


def test_gives_a_port_again_that_was_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(ports, "FIRST", port)
    monkeypatch.setattr(ports, "LAST", port)
    given = ports.Ports()
    assert given.take() == port
    with pytest.raises(ports.NoFreePort):
        given.take()

    given.give_back(port)

    assert given.take() == port


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_gives_no_port_that_somebody_listens_on(
    monkeypatch: pytest.MonkeyPatch, family: socket.AddressFamily, host: str
) -> None:
    with socket.create_server((host, 0), family=family) as holder:
        monkeypatch.setattr(ports, "FIRST", holder.getsockname()[1])
        monkeypatch.setattr(ports, "LAST", holder.getsockname()[1])

        with pytest.raises(ports.NoFreePort, match="in use on this host"):
            ports.Ports().take()


@pytest.mark.parametrize(
    ("family", "host", "address"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "127.1.2.3", "127.1.2.3"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.1"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "::1"),
    ],
)
def test_finds_who_listens_and_where_to_reach_it(
    family: socket.AddressFamily, host: str, address: str
) -> None:
    with socket.create_server((host, 0), family=family) as holder:
        port = holder.getsockname()[1]

        found = ports.listeners([port])

        assert [(one.host, one.port) for one in found] == [(host, port)]
        assert ports.address_of(found[0]) == f"{address}:{port}"
        assert ports.connects(address, port)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], ""),
        ([9000], "9000"),
        ([9000, 9000, 80], "80 and 9000"),
        ([4, 3, 2, 1], "1, 2 and 3"),
        ([50051], "50051"),
        ([8080, 33117, 46441], "8080"),
        # vLLM's own parts, before it listens for callers.
        ([33117, 33749, 36025, 36077, 39893], ""),
    ],
)
def test_names_the_ports_that_somebody_may_have_meant(found: list[int], told: str) -> None:
    listening = [ports.Listener("127.0.0.1", port, 1) for port in found]

    assert ports.named(found) == told
    said = f"it listens on port {told}; let it listen on 8000 or change `port`" if told else ""
    assert ports.where_else(listening, port=8000) == said


def test_reaches_a_socket_for_both_families_by_ipv4() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as holder:
        found = ports.listeners([holder.getsockname()[1]])

        assert ports.address_of(found[0]).startswith("127.0.0.1:")


def test_knows_whose_socket_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        inode = ports.listeners([holder.getsockname()[1]])[0].inode

        assert ports.owned_by([os.getpid()], {inode}) == {inode}
        assert ports.owned_by([os.getppid(), 2**22], {inode}) == set()


def test_does_not_count_connections_as_listeners() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as connection:
            assert ports.listeners([connection.getsockname()[1]]) == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as trial:
        port: int = trial.getsockname()[1]
        return port
