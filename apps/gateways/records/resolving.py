"""What a resolver answers now for a name below a gateway's domain: shown, and believed in nothing
else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from ipaddress import ip_address

from apps.gateways.models import Gateway

ANSWER_SECONDS = 5.0
MOST_CHARACTERS = 300
# While somebody waits for it, and afterwards.
OFTEN, SELDOM = timedelta(seconds=30), timedelta(minutes=10)
NOTHING, NO_ANSWER = "nothing", "no answer"
A, AAAA, CNAME = "A", "AAAA", "CNAME"

Resolve = Callable[[str, int], list[str]]


def resolved(host: str, family: int) -> list[str]:
    """Return the addresses of a name, none where it has none. Raise OSError."""
    try:
        found = socket.getaddrinfo(host, None, family, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise
    return sorted({str(address[0]) for *_, address in found})


def record_type(address: str) -> str:
    """Return the type of the record that leads to an address: a host may be known by a name."""
    try:
        return A if ip_address(address).version == 4 else AAAA
    except ValueError:
        return CNAME


def asked_name(gateway: Gateway) -> str:
    return f"gateway.{gateway.domain}"


def is_right(gateway: Gateway) -> bool:
    """Tell whether the last answer was the gateway's address and no other."""
    return bool(gateway.address) and gateway.dns_answer == gateway.address


def is_due(gateway: Gateway, *, at: datetime) -> bool:
    asked = gateway.dns_asked_at
    return asked is None or at - asked >= (SELDOM if is_right(gateway) else OFTEN)


def look(gateway: Gateway, *, at: datetime, resolve: Resolve = resolved) -> None:
    """Ask, for so long at the most, and keep the answer."""
    answer: list[str] = []

    def ask() -> None:
        try:
            answer.append(_said(gateway, resolve))
        except (OSError, UnicodeError):
            answer.append(NO_ANSWER)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_SECONDS)
    said = (answer[0] if answer else NO_ANSWER)[:MOST_CHARACTERS]
    Gateway.objects.filter(pk=gateway.pk).update(dns_answer=said, dns_asked_at=at)
    gateway.dns_answer, gateway.dns_asked_at = said, at


def _said(gateway: Gateway, resolve: Resolve) -> str:
    """Return the gateway's address, as it is written, where the name leads there and nowhere
    else."""
    kind = record_type(gateway.address)
    family = socket.AF_INET6 if kind == AAAA else socket.AF_INET
    found = resolve(asked_name(gateway), family)
    wanted = resolve(gateway.address, family) if kind == CNAME else [gateway.address]
    is_it = bool(found) and [_same(each) for each in found] == [_same(each) for each in wanted]
    return gateway.address if is_it else ", ".join(found) or NOTHING


def _same(address: str) -> str:
    return str(ip_address(address))
