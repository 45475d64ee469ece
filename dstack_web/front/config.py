"""HAProxy before the web server: its configuration, its files, its command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from dstack_web.front import pages
from dstack_web.front.errors import FrontFailed
from dstack_web.front.room import SPARE_CONNECTIONS, Room
from dstack_web.variables.values import Values
from dstack_web.variables.variable import BadVariable, Network
from gateway.errors import HaproxyFailed
from gateway.haproxy import binary

FILE = "front.cfg"
PROGRAM = "front.lua"
FOLDER = Path(__file__).parent
TEMPLATE = (FOLDER / FILE).read_text()
# Answered by the proxy itself, whatever the web server does.
ALIVE_PATH = "/-/front"


@dataclass(frozen=True)
class Front:
    """Where it listens, and what stands behind it (`web`: a socket of a plain path).

    Requests wait `patience_seconds` for a web server that is away.
    """

    bind: str
    port: int
    web: Path
    room: Room
    trusted: tuple[Network, ...] = ()
    patience_seconds: int = 20


def trusted(environ: Mapping[str, str]) -> tuple[Network, ...]:
    """Return the proxies that one trusts, as Django's settings read them. Raise FrontFailed."""
    try:
        return Values(environ).networks("DSTACK_TRUSTED_PROXIES")
    except BadVariable as error:
        raise FrontFailed(str(error)) from None


def render(front: Front) -> str:
    """Return the whole configuration."""
    texts = {
        "@CONNECTIONS@": str(front.room.connections),
        "@IN_ALL@": str(front.room.connections + SPARE_CONNECTIONS),
        "@PER_ADDRESS@": str(front.room.per_address),
        "@CROWD@": str(front.room.crowd),
        "@IN_CROWD@": str(front.room.in_crowd),
        "@BIND@": listener(front.bind, front.port),
        "@TRUSTED@": accept_all_of(front.trusted),
        "@ALIVE@": ALIVE_PATH,
        "@WEB@": str(front.web),
        "@OWN@": str(own_socket(front.web)),
        "@PATIENCE@": str(front.patience_seconds),
    }
    text = TEMPLATE
    for mark, value in texts.items():
        text = text.replace(mark, value)
    return text


def own_socket(web: Path) -> Path:
    """Return the socket on which the proxy itself is asked whether it lives."""
    return web.with_name("front.sock")


def accept_all_of(networks: Iterable[Network]) -> str:
    words = " ".join(map(str, networks))
    return f"  tcp-request connection accept if {{ src {words} }}\n" if words else ""


def listener(address: str, port: int) -> str:
    try:
        is_v6 = ip_address(address).version == 6
    except ValueError:  # a name
        is_v6 = False
    return f"ipv6@{address}:{port}" if is_v6 else f"{address}:{port}"


def write(folder: Path, front: Front) -> None:
    """Write all that HAProxy reads from `folder`."""
    for name, text in {
        FILE: render(front),
        PROGRAM: (FOLDER / PROGRAM).read_text(),
        **pages.files(),
    }.items():
        (folder / name).write_text(text)


def argv(folder: Path, environ: Mapping[str, str], *, file: str = FILE) -> list[str]:
    """Return HAProxy's command, which finds its files in `folder`. Raise FrontFailed.

    Once started it is quiet: that the web server is away, as it is at first, others say.
    """
    setting = environ.get("DSTACK_HAPROXY")
    try:
        program = binary.find(setting=Path(setting) if setting else None)
    except HaproxyFailed as error:
        raise FrontFailed(str(error)) from None
    return [str(program), "-db", "-q", "-C", os.fspath(folder), "-f", file]
