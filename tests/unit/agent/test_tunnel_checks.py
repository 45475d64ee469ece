"""What a server says reaches the command line of ssh only where it can mean one thing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agent import wire
from apps.agent.tunnels import checks, ssh

KEY = "ssh-ed25519 " + "A" * 68
GOOD = wire.Tunnels("gw.example.com", 2222, "dstack-tunnel", KEY, [wire.Forward(30001, "w1")])
HOSTILE = [
    "",
    "-oProxyCommand=touch /tmp/x",
    "a b",
    "a;id",
    "$(id)",
    "`id`",
    "a\nb",
    "a\x00",
    "../../x",
    "user@host",
    "a%h",
    "a/b",
    "[::1]",
    "é.example",
    "x" * 300,
]


@pytest.mark.parametrize("host", ["gw", "gw.example.com", "203.0.113.7", "2001:db8::1", "1a"])
def test_takes_names_and_addresses(host: str) -> None:
    assert checks.refusal(dataclasses.replace(GOOD, host=host)) == ""


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["host", "user", "host_key"])
def test_refuses_all_else(field: str, text: str) -> None:
    changed: dict[str, Any] = {field: text}

    assert checks.refusal(dataclasses.replace(GOOD, **changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"port": 0},
        {"port": -1},
        {"port": 65536},
        {"forwards": [wire.Forward(80, "w")]},
        {"forwards": [wire.Forward(70000, "w")]},
        {"host_key": KEY + "\nevil ssh-ed25519 AAAA"},
        {"host_key": "ssh-rsa " + "A" * 68},
    ],
)
def test_refuses_ports_and_keys_that_are_none(changed: dict[str, Any]) -> None:
    assert checks.refusal(dataclasses.replace(GOOD, **changed))


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("10.240.0.2:1", "10.240.0.2:1"),
        ("[::1]:8000", "[::1]:8000"),
        ("::1:8000", "[::1]:8000"),
        (None, None),
        ("", None),
        ("localhost:8000", None),
        ("127.0.0.1:0", None),
        ("127.0.0.1:99999", None),
        ("127.0.0.1:８０", None),
        ("127.0.0.1:80 -R 0:0", None),
        ("fe80::1%eth0:80", None),
        ("/var/run/docker.sock:80", None),
    ],
)
def test_forwards_to_addresses_only(address: str | None, target: str | None) -> None:
    assert checks.target(address) == target


@given(st.builds(wire.Tunnels, st.text(), st.integers(), st.text(), st.text()))
def test_nothing_that_passes_is_an_option_or_more_than_a_word(said: wire.Tunnels) -> None:
    if checks.refusal(said) == "":
        assert not said.host.startswith("-")
        assert said.host.split() == [said.host]


def test_the_destination_comes_after_the_options(tmp_path: Path) -> None:
    command = ssh.Master(tmp_path / "a", tmp_path / "key").command(GOOD, connect_seconds=2)

    assert command[-2:] == ["--", "gw.example.com"]
    assert all(isinstance(word, str) for word in command)
