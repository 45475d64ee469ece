"""The configuration that HAProxy starts from."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.haproxy import config, error_pages, template
from gateway.haproxy.config import Shape, render
from gateway.state.slots import Server

SHAPE = Shape(bind=("127.0.0.1", "::1"), port=8080, slots=3, threads=2)


def test_declares_every_slot() -> None:
    text = render(shape=SHAPE, servers=[])

    assert re.findall(r"^backend (s\d+)$", text, re.MULTILINE) == ["s1", "s2", "s3"]


def test_puts_each_server_into_its_slot() -> None:
    servers = [
        Server(name="n2", slot=3, replica="b", address="127.0.0.1:2"),
        Server(name="n1", slot=1, replica="a", address="127.0.0.1:1", limit=7),
    ]
    text = render(shape=SHAPE, servers=servers)
    options = config.SERVER_OPTIONS

    assert text.endswith(
        f"backend s1\n{config.UNANSWERED}{config.HOLD}  server n1 127.0.0.1:1 {options} maxconn 7\n"
        f"backend s2\n{config.UNANSWERED}{config.HOLD}"
        f"backend s3\n{config.UNANSWERED}{config.HOLD}  server n2 127.0.0.1:2 {options}\n"
    )


def test_lets_every_fourth_slot_look_for_tokens() -> None:
    text = render(shape=replace(SHAPE, slots=8), servers=[])

    reading = re.findall(r"^backend (s\d+) from models\n  filter lua.usage\n", text, re.MULTILINE)
    assert reading == ["s4", "s8"]


def test_lets_every_eighth_slot_notice_who_leaves_besides() -> None:
    text = render(shape=replace(SHAPE, slots=16), servers=[])

    assert re.findall(r"^backend (s\d+)\n  option abortonclose\n", text, re.MULTILINE) == [
        "s7",
        "s15",
    ]


def test_listens_where_it_is_told() -> None:
    text = render(shape=SHAPE, servers=[])

    assert "\n  bind 127.0.0.1:8080\n  bind ipv6@::1:8080\n" in text
    assert "\n  nbthread 2\n" in text


def test_leaves_no_place_unfilled() -> None:
    for tls, ssh in ((0, 0), (8443, 0), (0, 2222), (443, 443)):
        shape = replace(SHAPE, tls_port=tls, ssh_port=ssh)
        assert not template.PLACE.search(render(shape=shape, servers=[]))


@pytest.mark.parametrize(
    ("tls", "ssh", "listens"),
    [
        (0, 0, {"services": [8080]}),
        (0, 2222, {"services": [8080], "tunnels": [2222]}),
        (8443, 0, {"services": [8080, 8443]}),
        (8443, 2222, {"services": [8080, 8443], "tunnels": [2222]}),
        (8443, 8443, {"services": [8080], "shared": [8443]}),
    ],
)
def test_each_port_is_listened_on_once(tls: int, ssh: int, listens: dict[str, list[int]]) -> None:
    text = render(shape=replace(SHAPE, bind=("::",), tls_port=tls, ssh_port=ssh), servers=[])

    found: dict[str, list[int]] = {}
    for part in re.split(r"^frontend ", text, flags=re.MULTILINE)[1:]:
        if ports := re.findall(r"^  bind ipv6@:::(\d+)", part, re.MULTILINE):
            found[part.split()[0]] = [int(port) for port in ports]
    assert found == listens
    assert ("unix@secure.sock mode 600 accept-proxy ssl " in text) == ("shared" in listens)


def test_takes_in_every_file_of_rules() -> None:
    places = {place for file in template.FILES.values() for place in template.PLACE.findall(file)}

    assert template.FILES.keys() - places == {
        *("haproxy.cfg", "tls.cfg"),
        *("tunnels.cfg", "ssh.cfg", "shared.cfg"),
    }


def test_names_no_page_that_is_not_written() -> None:
    named = set(re.findall(r"pages/([\w.]+)", render(shape=SHAPE, servers=[])))

    assert named == named & error_pages.files().keys()
    assert len(named) > 5


def test_writes_each_form_of_a_page_in_one_line() -> None:
    lines = error_pages.files()["404.map"].splitlines()

    assert [line.split(" ", 1)[0] for line in lines] == ["json", "html", "openai"]
    assert lines[1].endswith("</html>")
