"""The kernel's netlink sockets: messages, attributes, links, addresses and routes (IPv4).

The programs `ip` and `nft` may be missing on a host, and a fork of each would cost a starting
replica more than the call itself. Names and numbers are those of linux/netlink.h, if_link.h,
if_addr.h and rtnetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
import typing

NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
NLMSG_ERROR = 2
NLA_F_NESTED = 0x8000
ANSWER_BYTES = 65536
ANSWER_SECONDS = 5.0

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE = 16, 17, 20, 21, 24
IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC = 1, 4, 5, 7
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
IFF_UP = 1
HOST_BITS = 32


def attribute(kind: int, data: bytes) -> bytes:
    """Return one attribute, padded to four bytes."""
    head = struct.pack("=HH", 4 + len(data), kind)
    return head + data + b"\0" * (-len(data) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode("ascii") + b"\0")


def message(kind: int, flags: int, payload: bytes, *, sequence: int = 0) -> bytes:
    """Return one netlink message with its header."""
    head = struct.pack("=IHHII", 16 + len(payload), kind, NLM_F_REQUEST | flags, sequence, 0)
    return head + payload


class Netlink:
    """A netlink socket of one family, in the network namespace of the thread that opens it."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.bind((0, 0))

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, messages: typing.Sequence[bytes], *, answers: int) -> None:
        """Send messages as one datagram and wait for so many acknowledgements.

        Raise OSError with the kernel's first refusal.
        """
        self._socket.send(b"".join(messages))
        while answers > 0:
            for error in _errors(self._socket.recv(ANSWER_BYTES)):
                answers -= 1
                if error:
                    raise OSError(-error, os.strerror(-error))

    def ask(self, kind: int, flags: int, payload: bytes) -> None:
        """Send one message and wait until it is done. Raise OSError."""
        self.send([message(kind, flags | NLM_F_ACK, payload)], answers=1)


def _errors(data: bytes) -> typing.Iterator[int]:
    """Yield the result of each acknowledgement: 0, or a negative errno."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == NLMSG_ERROR:
            yield struct.unpack_from("=i", data, at + 16)[0]
        at += max(16, (length + 3) & ~3)


def _link(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, index, flags, change)


def add_veth(route: Netlink, *, name: str, peer: str, namespace: int) -> None:
    """Create a pair of linked interfaces, the peer in the namespace of an open descriptor."""
    inside = _link() + text(IFLA_IFNAME, peer)
    inside += attribute(IFLA_NET_NS_FD, struct.pack("=I", namespace))
    kind = nested(
        IFLA_LINKINFO,
        attribute(IFLA_INFO_KIND, b"veth"),
        nested(IFLA_INFO_DATA, attribute(VETH_INFO_PEER | NLA_F_NESTED, inside)),
    )
    route.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, _link() + text(IFLA_IFNAME, name) + kind)


def delete_link(route: Netlink, name: str) -> None:
    """Remove an interface, and its peer with it. Raise OSError where there is none."""
    route.ask(RTM_DELLINK, 0, _link(socket.if_nametoindex(name)))


def set_up(route: Netlink, name: str) -> None:
    route.ask(RTM_NEWLINK, 0, _link(socket.if_nametoindex(name), IFF_UP, IFF_UP))


def add_address(route: Netlink, *, name: str, address: str) -> None:
    """Give an interface an address that is alone in its network (/32)."""
    route.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, _address(name, address))


def delete_address(route: Netlink, *, name: str, address: str) -> None:
    """Take an address from an interface. Raise OSError where it has none such."""
    route.ask(RTM_DELADDR, 0, _address(name, address))


def _address(name: str, address: str) -> bytes:
    packed = socket.inet_aton(address)
    head = struct.pack(
        "=BBBBI", socket.AF_INET, HOST_BITS, 0, RT_SCOPE_UNIVERSE, socket.if_nametoindex(name)
    )
    return head + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)


def add_route(
    route: Netlink,
    *,
    name: str,
    to: typing.Optional[str],
    via: typing.Optional[str] = None,
    source: typing.Optional[str] = None,
) -> None:
    """Route one address, or everything where `to` is None, to an interface; `source` is the
    host's own address for it, where the interface has none.

    The route of whoever had the address before may still be there: the kernel clears a namespace
    away when it comes to that.
    """
    scope = RT_SCOPE_UNIVERSE if via else RT_SCOPE_LINK
    head = struct.pack(
        "=BBBBBBBBI",
        *(socket.AF_INET, HOST_BITS if to else 0, 0, 0),
        *(RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0),
    )
    parts = [attribute(RTA_OIF, struct.pack("=i", socket.if_nametoindex(name)))]
    if to:
        parts.append(attribute(RTA_DST, socket.inet_aton(to)))
    if source:
        parts.append(attribute(RTA_PREFSRC, socket.inet_aton(source)))
    if via:
        parts.append(attribute(RTA_GATEWAY, socket.inet_aton(via)))
    route.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, head + b"".join(parts))
