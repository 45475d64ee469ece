"""Which addresses this server calls by ssh, and which never."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from apps.hosts.address import parse
from apps.hosts.ssh import client, destinations
from dstack_web.variables.every import BY_NAME

ROW = BY_NAME["DSTACK_HOST_NETWORKS"]
BY_DEFAULT = ROW.networks(ROW.default)


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "203.0.113.9", "2001:4860:4860::8888", "172.32.0.1", "2600::7"]
)
def test_calls_public_addresses_whatever_is_set(text: str) -> None:
    assert destinations.refusal(ip_address(text), ()) == ""


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "172.16.0.9", "192.168.1.5", "100.64.0.7", "fd12::7", "::ffff:10.1.2.3"]
)
def test_calls_private_addresses_where_the_administrator_lets_hosts_be(text: str) -> None:
    assert destinations.refusal(ip_address(text), BY_DEFAULT) == ""
    assert "DSTACK_HOST_NETWORKS" in destinations.refusal(ip_address(text), ())
    other = [ip_network("10.9.0.0/16"), ip_network("fd99::/16")]
    assert "DSTACK_HOST_NETWORKS" in destinations.refusal(ip_address(text), other)


@pytest.mark.parametrize(
    "text, words",
    [
        ("127.0.0.1", "this server itself"),
        ("127.8.9.10", "this server itself"),
        ("0.0.0.0", "this server itself"),
        ("::1", "this server itself"),
        ("::", "this server itself"),
        ("::ffff:127.0.0.1", "this server itself"),
        ("::127.0.0.1", "this server itself"),
        ("64:ff9b::7f00:1", "this server itself"),
        ("64:ff9b:1::a00:1", "this server itself"),
        ("2002:7f00:1::", "this server itself"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fe80::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "no machine's"),
    ],
)
def test_never_calls_these(text: str, words: str) -> None:
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]

    assert words in destinations.refusal(ip_address(text), everything)


@pytest.mark.parametrize("name", ["localhost", "0x7f000001", "0x7f.1", "127.1"])
def test_judges_what_a_name_means(name: str) -> None:
    """The C library reads odd numbers as addresses, too."""
    place = parse("ann@localhost")
    with pytest.raises(destinations.Refused, match="this server itself"):
        destinations.resolved(type(place)("ann", name, 22), BY_DEFAULT)


def test_a_call_begins_nothing_where_it_may_not() -> None:
    for where, jump in (("a@localhost", None), ("a@10.0.0.9", "a@localhost")):
        target = client.Target(
            parse(where), "no key", parse(jump) if jump else None, networks=BY_DEFAULT
        )
        with pytest.raises(client.SshError, match="this server itself"):
            client.run(target, client.PLAIN, "true", seconds=1)
    behind = client.Target(parse("a@169.254.169.254"), "no key", parse("a@203.0.113.9"))
    with pytest.raises(client.SshError, match="metadata"):
        client.run(behind, client.PLAIN, "true", seconds=1)


def test_what_lies_behind_a_jump_host_is_its_own_matter() -> None:
    for where in ("a@127.0.0.1:2222", "a@10.0.0.9", "a@desk"):
        destinations.require_literal(parse(where), (), is_behind=True)
    with pytest.raises(destinations.Refused):
        destinations.require_literal(parse("a@10.0.0.9"), ())


def test_ssh_is_told_the_address_that_was_judged() -> None:
    target = client.Target(parse("ann@[fd12::7]:2222"), "k", networks=BY_DEFAULT)

    written = client.configuration(Path("/f"), client._resolved(target))

    assert re.search(r"^  HostName fd12::7$", written, re.MULTILINE)
    assert re.search(r"^  HostKeyAlias host$", written, re.MULTILINE)
