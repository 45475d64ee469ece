"""What may stand in a command line of ssh. Pure: whatever a server says, it is nothing else."""

from __future__ import annotations

import ipaddress
import re
import typing

from apps.agent import wire

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")
FORWARDED = range(1024, 65536)


def refusal(said: wire.Tunnels) -> str:
    """Return what cannot be used of it, "" where all can."""
    if not (NAME.fullmatch(said.host) or _is_ip(said.host)):
        return f"{said.host[:80]!r} is no name or address of a gateway"
    if said.port not in range(1, 65536):
        return f"{said.port} is no port of a gateway"
    if not USER.fullmatch(said.user):
        return f"{said.user[:80]!r} is no name of a user"
    if not KEY.fullmatch(said.host_key):
        return f"{said.host_key[:80]!r} is no key of a gateway"
    wrong = [each.port for each in said.forwards if each.port not in FORWARDED]
    return f"{wrong[0]} is no port of a tunnel" if wrong else ""


def target(address: typing.Optional[str]) -> typing.Optional[str]:
    """Return "host:port" of a workload as ssh wants it, None where it is no address."""
    host, _, port = (address or "").rpartition(":")
    host = host.strip("[]")
    if not (_is_ip(host) and port.isascii() and port.isdigit() and int(port) in range(1, 65536)):
        return None
    return f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}"


def _is_ip(text: str) -> bool:
    try:
        return "%" not in text and bool(ipaddress.ip_address(text))
    except ValueError:
        return False
