"""Where a host is, as people write it: what passes can be no option, command or second line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.hosts.address import BadAddress, Place, name_for, parse
from apps.hosts.ssh import client

# What may be in a configuration of ssh without meaning anything there.
HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9a-f:.]+")
SIGNS = st.text(st.sampled_from("ab1.-_@:[]%`$(){}|;&<>\\/'\"\n\r\t \0*?#~!=,é"), max_size=40)


@pytest.mark.parametrize(
    "text, place",
    [
        ("ann@192.0.2.7", Place("ann", "192.0.2.7")),
        ("ann@192.0.2.7:2222", Place("ann", "192.0.2.7", 2222)),
        (" root@Box.Example.com ", Place("root", "box.example.com")),
        ("ann@[2001:DB8::7]:2222", Place("ann", "2001:db8::7", 2222)),
        ("ann@2001:db8::7", Place("ann", "2001:db8::7")),
        ("ann@localhost:1", Place("ann", "localhost", 1)),
    ],
)
def test_reads_what_people_write(text: str, place: Place) -> None:
    assert parse(text) == place
    assert parse(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "", "192.0.2.7", "@host", "ann@", "-oProxyCommand=x@host", "ann@-oProxyCommand=x",
        "ann@host -oX=y", "ann@host\nProxyCommand x", "ann@`id`", "ann@$(id)", "ann@%h",
        "ann;id@host", "ann@host:0", "ann@host:65536", "ann@host:-1", "ann@host:", "ann@[::1",
        "ann@[::1]x", "ann@fe80::1%eth0", "ann@1.2.3", "ann@999.1.1.1", "ann@ho/st", "a b@host",
        "ann@" + "a" * 300, "ann@host:22:22:22", "ann@host:٢٢", "änn@host", "ann@hóst", "../x@host",
    ],
)  # fmt: skip
def test_refuses_the_rest_in_one_sentence(text: str) -> None:
    if text == "ann@host:":
        assert parse(text).port == 22
        return
    with pytest.raises(BadAddress) as refused:
        parse(text)

    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400


@given(user=SIGNS, address=SIGNS, port=SIGNS, jump=SIGNS)
def test_nothing_written_becomes_an_option_or_a_command(
    user: str, address: str, port: str, jump: str
) -> None:
    try:
        place = parse(f"{user}@{address}:{port}")
        through = parse(jump) if "@" in jump else None
    except BadAddress:
        return

    for each in filter(None, (place, through)):
        assert HARMLESS.fullmatch(each.user)
        assert HARMLESS.fullmatch(each.address)
        assert 1 <= each.port <= 65535
    written = client.configuration(Path("/f"), client.Target(place, "k", through))
    lines = written.splitlines()
    assert [line for line in lines if "ProxyCommand" in line] == []
    assert len(lines) == len(client.configuration(Path("/f"), _plain(through)).splitlines())


def _plain(through: Place | None) -> client.Target:
    return client.Target(Place("a", "b"), "k", Place("c", "d") if through else None)


@given(SIGNS)
def test_a_name_is_always_a_name(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?", name_for(text))
