"""The gateway's own names."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.state import own_names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Box", "box"),
        ("gw.Example.com.", "gw.example.com"),
        ("my_gateway-1", "my_gateway-1"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "::1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_reads_names_and_addresses(text: str, name: str) -> None:
    assert own_names.parse(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "http://box",
        "box:80",
        "box/x",
        "*.box",
        "bücher.de",
        "a..b",
        ".a",
        "-a",
        "a" * 64,
        "a;b",
        "",
    ],
)
def test_refuses_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no host name or address"):
        own_names.parse(text)


def test_finds_the_full_name_as_a_resolver_would(tmp_path: Path) -> None:
    hosts, resolver = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text(
        "127.0.0.1 localhost localhost.localdomain  # first\n"
        "::1 ip6-localhost\n"
        "# 10.0.0.8 not.this.one\n"
        "10.0.0.5 Box.corp.example box www\n"
        "10.0.0.6 other.corp.example other\n"
        "broken\n"
    )
    resolver.write_text("nameserver 10.0.0.1\nsearch lan ec2.internal.\n; search no\n")

    names = own_names.of_machine(hostname="Box", hosts=hosts, resolver=resolver)

    assert set(names) == {
        *own_names.FROM_CONTAINERS,
        *("box", "box.local", "box.lan", "box.ec2.internal", "box.corp.example", "www"),
        *("localhost", "localhost.localdomain", "ip6-localhost"),
    }


def test_knows_the_machine_where_no_file_is(tmp_path: Path) -> None:
    away = tmp_path / "away"

    names = own_names.of_machine(hostname="box.example.com", hosts=away, resolver=away)

    assert set(names) == {*own_names.FROM_CONTAINERS, "box.example.com", "box", "box.local"}
