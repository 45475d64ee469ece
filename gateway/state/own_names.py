"""The names by which this machine, and so its gateway, is called.

Nothing is asked of the network: names come from the kernel, /etc/hosts and /etc/resolv.conf, where
a resolver would find them first. Addresses need no list: no service's host is one, so HAProxy takes
every address for the gateway itself, behind a NAT or a container's published port too.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})?(\.[a-z0-9_]([a-z0-9_-]{0,62})?)*")
HOSTS, RESOLVER = Path("/etc/hosts"), Path("/etc/resolv.conf")
# What container engines call the machine that they run on.
FROM_CONTAINERS = ("host.docker.internal", "gateway.docker.internal", "host.containers.internal")


def parse(text: str) -> str:
    """Return a host name or address as it stands in the map of hosts. Raise ValueError."""
    word = text.strip().lower().removesuffix(".")
    try:
        return str(ip_address(word.strip("[]").partition("%")[0]))
    except ValueError:
        if NAME.fullmatch(word):
            return word
    raise ValueError(f"{text[:80]!r} is no host name or address (no scheme, port or path)")


def of_machine(
    *, hostname: str | None = None, hosts: Path = HOSTS, resolver: Path = RESOLVER
) -> tuple[str, ...]:
    """Return the names of this machine in lower case, its full name among them."""
    name = (hostname or socket.gethostname()).lower().rstrip(".")
    label = name.partition(".")[0]
    found = [*FROM_CONTAINERS, name, label, f"{label}.local"]
    found += (f"{label}.{domain}" for domain in _domains(_rows(resolver)))
    for address, *names in _rows(hosts):
        known = [each.lower().rstrip(".") for each in names]
        if _is_loopback(address) or name in known or label in known:
            found += known
    return tuple(dict.fromkeys(each for each in found if NAME.fullmatch(each)))


def _rows(file: Path) -> Iterator[list[str]]:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return
    for row in text.splitlines():
        if words := re.split(r"[#;]", row)[0].split():
            yield words


def _domains(rows: Iterable[list[str]]) -> Iterator[str]:
    for keyword, *domains in rows:
        if keyword in ("search", "domain"):
            yield from (each.lower().strip(".") for each in domains)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
