"""Where a host is, as people write it: USER@ADDRESS[:PORT]. Pure.

What passes here is written into a configuration of ssh: it has letters, digits and few signs,
begins with none that could make it an option, and has no space, quote or `%`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*\.?")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
NUMBER = re.compile(r"[0-9]{1,5}")
SSH_PORT = 22
HOW = "write USER@ADDRESS or USER@ADDRESS:PORT, an IPv6 address in brackets: ann@[2001:db8::7]:2222"


class BadAddress(ValueError):
    """It is no place of a host; the text says what to write."""


@dataclass(frozen=True)
class Place:
    user: str
    address: str
    port: int = SSH_PORT

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{address}" + ("" if self.port == SSH_PORT else f":{self.port}")


def parse(text: str) -> Place:
    """Read USER@ADDRESS[:PORT]. Raise BadAddress."""
    user, at, rest = text.strip().rpartition("@")
    if not at or not user:
        raise BadAddress(f"{shown(text)} has no user: {HOW}")
    address, port = _split(rest)
    return checked(user, address, port)


def _split(rest: str) -> tuple[str, str]:
    if rest.startswith("["):
        address, bracket, after = rest[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise BadAddress(f"{shown(rest)} is no address: {HOW}")
        return address, after[1:] if after else ""
    if rest.count(":") > 1:
        return rest, ""  # an IPv6 address without brackets has no port
    address, colon, port = rest.partition(":")
    return address, port if colon else ""


def checked(user: str, address: str, port: str | int = "") -> Place:
    """Return the place where each part is one that ssh takes. Raise BadAddress."""
    if not USER.fullmatch(user):
        raise BadAddress(
            f"{shown(user)} is no user of a Linux machine: use letters, digits, dots, hyphens and "
            "underscores, at most 32, with a letter first"
        )
    return Place(user, _address(address), _port(str(port)))


def _address(text: str) -> str:
    try:
        found = ip_address(text)
    except ValueError:
        found = None
    if found is not None:
        if isinstance(found, IPv6Address) and found.scope_id:
            raise BadAddress(
                f"{shown(text)} means an interface of one machine only: leave the % out"
            )
        return str(found)
    digits_only = text.replace(".", "").isdecimal()
    if digits_only or not text.isascii() or not HOST_NAME.fullmatch(text):
        raise BadAddress(f"{shown(text)} is no host name and no IP address: {HOW}")
    return text.lower()


def _port(text: str) -> int:
    if text == "":
        return SSH_PORT
    if not text.isascii() or not NUMBER.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise BadAddress(f"{shown(text)} is no port: give a number from 1 to 65535")
    return int(text)


def name_for(address: str) -> str:
    """Return the name that a host gets where none was given."""
    short = address if _is_ip(address) else address.partition(".")[0]
    return re.sub(r"[^a-z0-9]+", "-", short.lower()).strip("-")[:50].strip("-") or "host"


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def shown(text: str) -> str:
    """Return what somebody wrote, short and printable."""
    return repr("".join(each if each.isprintable() else "?" for each in text[:60]))
