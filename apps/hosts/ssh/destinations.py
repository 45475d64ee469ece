"""Which addresses this server calls by ssh. What a person writes is a name; what is judged here is
the address that it has at this moment, and that very address is then called.

Never called: this server itself, what only means something on one wire (link-local, where clouds
answer with a machine's credentials), multicast, and what is no address of a machine. Those of
private networks are called where the administrator lets hosts be there.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from apps.hosts.address import Place

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
MOST_ADDRESSES = 8
SETTING = "DSTACK_HOST_NETWORKS"
THIS_SERVER = "this server itself"
METADATA = "what a cloud tells its machines (metadata)"
NO_MACHINE = "no machine's address"
# Metadata stand before what else their networks mean: some lie in private ones, one in none.
NEVER: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(text), what)
    for text, what in (
        ("169.254.0.0/16", METADATA),
        ("fe80::/10", "the same wire (link-local)"),
        ("fd00:ec2::254/128", METADATA),
        ("fd20:ce::254/128", METADATA),
        ("100.100.100.200/32", METADATA),
        ("168.63.129.16/32", METADATA),
        ("192.0.0.0/24", METADATA),
        ("127.0.0.0/8", THIS_SERVER),
        ("::1/128", THIS_SERVER),
        ("0.0.0.0/8", THIS_SERVER),
        ("::/128", THIS_SERVER),
        ("224.0.0.0/4", "many machines (multicast)"),
        ("ff00::/8", "many machines (multicast)"),
        ("240.0.0.0/4", NO_MACHINE),
        ("100::/64", NO_MACHINE),
        ("fec0::/10", NO_MACHINE),
    )
)
PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "198.18.0.0/15",
        "fc00::/7",
    )
)
# An IPv4 address in the last 32 bits: as written by dual stacks, and as translated by NAT64.
CARRIES_IPV4 = tuple(ip_network(text) for text in ("::/96", "::ffff:0:0/96", "64:ff9b::/96"))
LOCAL_NAT64 = ip_network("64:ff9b:1::/48")


class Refused(Exception):
    """This server calls nothing there; the text is a sentence."""


def refusal(address: Address, allowed: Sequence[Network]) -> str:
    """Return what an address is that may not be called, "" where it may. Pure."""
    for each in _meanings(address):
        for network, what in NEVER:
            if each in network:
                return what
        is_private = any(each in network for network in PRIVATE)
        if is_private and not any(each in network for network in allowed):
            return f"in a private network where this server may have no hosts ({SETTING})"
    return ""


def _meanings(address: Address) -> Iterator[Address]:
    """Yield what is called by an address: itself, and the IPv4 address that it carries."""
    if isinstance(address, IPv6Address):
        carried = address.sixtofour or (address.teredo[1] if address.teredo else None)
        if any(address in network for network in CARRIES_IPV4):
            carried = IPv4Address(address.packed[-4:])
        if address in LOCAL_NAT64:
            carried = IPv4Address("0.0.0.0")  # where in it depends on the translator
        if carried is not None and address not in (IPv6Address("::"), IPv6Address("::1")):
            yield carried
            return
    yield address


def require_literal(place: Place, allowed: Sequence[Network], *, is_behind: bool = False) -> None:
    """Refuse an address that is written as one; what a name means is known when it is called.

    One that lies behind a jump host (`is_behind`) is called from there: its private networks and
    its loopback are its own matter. Raise Refused.
    """
    try:
        address = ip_address(place.address)
    except ValueError:
        return
    what = refusal(address, allowed if not is_behind else PRIVATE)
    if what and not (is_behind and what == THIS_SERVER):
        raise Refused(_said(place, str(address), what))


def resolved(place: Place, allowed: Sequence[Network]) -> list[str]:
    """Return the addresses of a place that may be called, in the order of the resolver.

    Raise Refused where there are only others, and OSError where there are none.
    """
    found = socket.getaddrinfo(place.address, place.port, type=socket.SOCK_STREAM)
    texts = list(dict.fromkeys(str(each[4][0]) for each in found))[:MOST_ADDRESSES]
    good, refused = [], ""
    for text in texts:
        address = ip_address(text)
        what = refusal(address, allowed) or (THIS_SERVER if _is_own(address) else "")
        if what:
            refused = refused or _said(place, text, what)
        else:
            good.append(text)
    if not good:
        raise Refused(refused or f"The name of {place} is not known here: is it written well?")
    return good


def _is_own(address: Address) -> bool:
    """Tell whether an address is one of this server's; nothing is sent."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return ip_address(str(probe.getsockname()[0])) == address
    except OSError:
        return False


def _said(place: Place, address: str, what: str) -> str:
    at = f"{place}" if place.address == address else f"{place} has the address {address}, which"
    return f"{at} is {what}: this server adds no host there."
