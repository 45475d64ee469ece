from __future__ import annotations

import socket

import pytest

from dstack_web.embedded import addresses
from dstack_web.embedded.addresses import Addresses
from dstack_web.processes import StartFailed
from tests.programs import require_program


def test_listens_on_loopback_by_default() -> None:
    found = addresses.from_environment({})

    assert (found.bind, found.port, found.gateway_port) == ("127.0.0.1", 3000, 8080)
    assert found.public_url == "http://127.0.0.1:3000"


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "80a", "３０００", "1e3", " ", "9" * 5000, "$(id)"]
)
def test_refuses_a_port_that_is_no_port(text: str) -> None:
    with pytest.raises(StartFailed, match="DSTACK_PORT must be a number from 1 to 65535, not"):
        addresses.from_environment({"DSTACK_PORT": text})


def test_refuses_one_port_for_both() -> None:
    with pytest.raises(StartFailed, match="are both 8080; change one"):
        addresses.from_environment({"DSTACK_PORT": "8080"})


@pytest.mark.parametrize(
    ("domain", "port", "has_tls"),
    [
        ("example.org", "443", True),
        ("example.org", "", False),
        ("localhost", "443", False),
        ("dev.localhost", "443", False),
        ("notlocalhost", "443", True),
    ],
)
def test_speaks_tls_where_there_is_a_port_and_a_public_name(
    domain: str, port: str, has_tls: bool
) -> None:
    environ = {"DSTACK_GATEWAY_DOMAIN": domain, "DSTACK_GATEWAY_TLS_PORT": port}

    assert addresses.from_environment(environ).has_tls is has_tls


def test_refuses_the_port_of_another_for_tls() -> None:
    with pytest.raises(StartFailed, match="DSTACK_GATEWAY_TLS_PORT is 8080 like another port"):
        addresses.from_environment({"DSTACK_GATEWAY_TLS_PORT": "8080"})


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("10.1.2.3", "http://10.1.2.3:3000"),
    ],
)
def test_children_call_an_address_that_exists_here(bind: str, url: str) -> None:
    assert addresses.from_environment({"DSTACK_BIND": bind}).local_url == url


def test_says_which_port_is_taken_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(StartFailed, match=f"Port {port} is already in use; .* DSTACK_PORT"):
            addresses.require_free_port(host="127.0.0.1", port=port, variable="DSTACK_PORT")


def test_says_that_an_address_is_not_of_this_machine() -> None:
    with pytest.raises(StartFailed, match="Cannot listen on 192.0.2.1 .* check DSTACK_BIND"):
        addresses.require_free_port(host="192.0.2.1", port=3000, variable="DSTACK_PORT")


@pytest.mark.parametrize(
    "text", ["", " , ", "box", "Box.example.com., 10.0.0.1", "[::1] ::1 my_gw"]
)
def test_takes_the_gateways_own_names(text: str) -> None:
    assert addresses.from_environment({"DSTACK_GATEWAY_HOSTS": text}).gateway_port == 8080


@pytest.mark.parametrize("word", ["http://box", "box:8080", "a/b", "*.box", "a..b", "bücher"])
def test_refuses_own_names_that_are_none(word: str) -> None:
    with pytest.raises(StartFailed, match=r"DSTACK_GATEWAY_HOSTS: .* is no host name or address"):
        addresses.from_environment({"DSTACK_GATEWAY_HOSTS": f"good {word}"})


SERVED = {"DSTACK_BIND": "0.0.0.0", "DSTACK_PUBLIC_URL": "https://dstack.example"}
HOME_ALONE = {"DSTACK_BIND": "0.0.0.0"}


@pytest.mark.parametrize(
    ("environ", "port"),
    [
        ({}, 0),
        (HOME_ALONE, 0),
        (SERVED, 2222),
        ({"DSTACK_BIND": "10.1.2.3"}, 2222),
        (HOME_ALONE | {"DSTACK_AGENT_URL": "http://10.1.2.3:3000"}, 2222),
        (HOME_ALONE | {"DSTACK_AGENT_URL": "http://web:3000"}, 0),
        (SERVED | {"DSTACK_BIND": "127.0.0.1"}, 0),
        (SERVED | {"DSTACK_BIND": "::1"}, 0),
        (SERVED | {"DSTACK_GATEWAY_SSH_PORT": "0"}, 0),
        (SERVED | {"DSTACK_GATEWAY_SSH_PORT": ""}, 2222),
        (SERVED | {"DSTACK_GATEWAY_SSH_PORT": "2200"}, 2200),
        ({"DSTACK_GATEWAY_SSH_PORT": "2200"}, 2200),
    ],
)
def test_takes_tunnels_by_itself_where_machines_can_come_in(
    environ: dict[str, str], port: int
) -> None:
    require_program("sshd", package="openssh-server")

    assert addresses.from_environment(environ).gateway_ssh_port == port


def test_takes_no_tunnels_by_itself_without_an_sshd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "SSH_SERVER_PATH", "/nonexistent")

    assert addresses.from_environment(SERVED).gateway_ssh_port == 0


@pytest.mark.parametrize("port", ["8080", "3000"])
def test_refuses_the_port_of_another_for_tunnels(port: str) -> None:
    with pytest.raises(StartFailed, match=f"DSTACK_GATEWAY_SSH_PORT is {port} like another port"):
        addresses.from_environment({"DSTACK_GATEWAY_SSH_PORT": port})


def test_takes_tunnels_by_the_port_of_tls_where_it_is_told_so() -> None:
    both = {"DSTACK_GATEWAY_SSH_PORT": "443", "DSTACK_GATEWAY_TLS_PORT": "443"}

    listen = addresses.from_environment(both)

    assert (listen.gateway_ssh_port, listen.gateway_tls_port) == (443, 443)


def test_says_that_the_port_for_tunnels_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listen = Addresses("127.0.0.1", 0, 0, "", "", gateway_ssh_port=port)

        with pytest.raises(StartFailed, match=f"Port {port} is already in use; .*GATEWAY_SSH_PORT"):
            addresses.require_free(listen)
