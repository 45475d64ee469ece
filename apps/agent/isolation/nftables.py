"""Packet rules (nftables) as the kernel takes them by netlink: one table, written whole.

A rule is a list of expressions: some compare a fact of the packet and go on to the next rule where
it differs, the last one says what happens. Names and numbers are those of linux/netfilter/
nf_tables.h; numbers on this socket are big-endian.
"""

from __future__ import annotations

import socket
import struct
import typing

from apps.agent.isolation import netlink
from apps.agent.isolation.netlink import attribute, nested, text

SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = 0, 2, 3, 6
NLM_F_APPEND = 0x800
IPV4, IPV6 = 2, 10  # NFPROTO_*

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
FILTER_PRIORITY, DNAT_PRIORITY, SNAT_PRIORITY = 0, -100, 100
META_IIFNAME, META_OIFNAME, META_SKUID, META_L4PROTO = 6, 7, 10, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
SOURCE_OFFSET, DESTINATION_OFFSET, DESTINATION_OFFSET_V6 = 12, 16, 24
EQUAL, NOT_EQUAL, AT_LEAST = 0, 1, 5
TO_NETWORK_ORDER = 1
ESTABLISHED_OR_RELATED = 0b110
REGISTER, SECOND_REGISTER, VERDICT_REGISTER = 1, 2, 0
DROP_CODE, ACCEPT_CODE = 0, 1
TCP_RESET, PORT_UNREACHABLE = 1, 3

Rule = typing.Sequence[bytes]


class Chain(typing.NamedTuple):
    """Rules at one place of a packet's way; `kind` is "filter" or "nat"."""

    name: str
    kind: str
    hook: int
    priority: int
    rules: typing.Sequence[Rule]


def replace_table(name: str, chains: typing.Sequence[Chain], *, family: int = IPV4) -> None:
    """Write a table whole, in one step, in place of what it held. Raise OSError.

    Without chains the table is removed.
    """
    parts = [(NEWTABLE, text(1, name)), (DELTABLE, text(1, name))]
    if chains:
        parts.append((NEWTABLE, text(1, name)))
    for chain in chains:
        parts.append((NEWCHAIN, _chain(name, chain)))
        parts += [(NEWRULE, _rule(name, chain.name, rule)) for rule in chain.rules]
    messages = [_message(kind, payload, family) for kind, payload in parts]
    with netlink.Netlink(netlink.NETLINK_NETFILTER) as socket_:
        socket_.send([_batch(BATCH_BEGIN), *messages, _batch(BATCH_END)], answers=len(messages))


def _batch(kind: int) -> bytes:
    return netlink.message(kind, 0, struct.pack(">BBH", 0, 0, SUBSYSTEM))


def _message(kind: int, payload: bytes, family: int) -> bytes:
    flags = netlink.NLM_F_ACK
    if kind != DELTABLE:
        flags |= netlink.NLM_F_CREATE
    if kind == NEWRULE:
        flags |= NLM_F_APPEND
    head = struct.pack(">BBH", family, 0, 0)
    return netlink.message(SUBSYSTEM << 8 | kind, flags, head + payload)


def _chain(table: str, chain: Chain) -> bytes:
    hook = nested(4, _number(1, chain.hook), _number(2, chain.priority))
    return text(1, table) + text(3, chain.name) + hook + text(7, chain.kind)


def _rule(table: str, chain: str, rule: Rule) -> bytes:
    return text(1, table) + text(2, chain) + nested(4, *rule)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i", value))


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _value(kind: int, data: bytes) -> bytes:
    return nested(kind, attribute(1, data))


def _compare(data: bytes, *, equal: bool = True) -> bytes:
    operation = _number(2, EQUAL if equal else NOT_EQUAL)
    return _expression("cmp", _number(1, REGISTER), operation, _value(3, data))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(2, key), _number(1, REGISTER))


def _name(pattern: str) -> bytes:
    """Return an interface's name as it is compared; one that ends in `*` is a beginning."""
    if pattern.endswith("*"):
        return pattern[:-1].encode("ascii")
    return pattern.encode("ascii").ljust(16, b"\0")


def comes_by(pattern: str) -> Rule:
    """Match packets that came in by an interface."""
    return (_meta(META_IIFNAME), _compare(_name(pattern)))


def leaves_by(pattern: str, *, equal: bool = True) -> Rule:
    """Match packets that go out by an interface, or by any other one."""
    return (_meta(META_OIFNAME), _compare(_name(pattern), equal=equal))


def sent_by_user(uid: int, *, equal: bool = True) -> Rule:
    """Match packets of the sockets of a user of this host, or of any other one."""
    return (_meta(META_SKUID), _compare(struct.pack("=I", uid), equal=equal))


def sent_by_users_from(first_uid: int) -> Rule:
    """Match packets of the sockets of all users of this host from this one on."""
    # Numbers are compared byte by byte, so the highest has to come first.
    swapped = _expression(
        "byteorder",
        *(_number(1, REGISTER), _number(2, REGISTER), _number(3, TO_NETWORK_ORDER)),
        *(_number(4, 4), _number(5, 4)),
    )
    value = _value(3, struct.pack(">I", first_uid))
    compared = _expression("cmp", _number(1, REGISTER), _number(2, AT_LEAST), value)
    return (_meta(META_SKUID), swapped, compared)


def _address(offset: int, network: str, bits: int) -> Rule:
    mask = (0xFFFFFFFF << 32 - bits & 0xFFFFFFFF).to_bytes(4, "big")
    load = _expression(
        "payload",
        *(_number(1, REGISTER), _number(2, NETWORK_HEADER), _number(3, offset), _number(4, 4)),
    )
    masked = _expression(
        "bitwise",
        *(_number(1, REGISTER), _number(2, REGISTER), _number(3, 4)),
        *(_value(4, mask), _value(5, b"\0" * 4)),
    )
    return (load, masked, _compare(socket.inet_aton(network)))


def goes_to(network: str, bits: int = 32) -> Rule:
    return _address(DESTINATION_OFFSET, network, bits)


def goes_to_v6(address: str) -> Rule:
    load = _expression(
        "payload",
        *(_number(1, REGISTER), _number(2, NETWORK_HEADER)),
        *(_number(3, DESTINATION_OFFSET_V6), _number(4, 16)),
    )
    return (load, _compare(socket.inet_pton(socket.AF_INET6, address)))


def comes_from(network: str, bits: int = 32) -> Rule:
    return _address(SOURCE_OFFSET, network, bits)


def tcp() -> Rule:
    return (_meta(META_L4PROTO), _compare(bytes([socket.IPPROTO_TCP])))


def tcp_port(port: int) -> Rule:
    load = _expression(
        "payload",
        *(_number(1, REGISTER), _number(2, TRANSPORT_HEADER), _number(3, 2), _number(4, 2)),
    )
    return (*tcp(), load, _compare(struct.pack(">H", port)))


def is_answer() -> Rule:
    """Match packets of connections that the other side is party to already."""
    state = _expression("ct", _number(2, 0), _number(1, REGISTER))
    masked = _expression(
        "bitwise",
        *(_number(1, REGISTER), _number(2, REGISTER), _number(3, 4)),
        *(_value(4, struct.pack("=I", ESTABLISHED_OR_RELATED)), _value(5, b"\0" * 4)),
    )
    return (state, masked, _compare(b"\0" * 4, equal=False))


def _verdict(code: int) -> Rule:
    verdict = nested(2, nested(2, _number(1, code)))
    return (_expression("immediate", _number(1, VERDICT_REGISTER), verdict),)


def accept() -> Rule:
    return _verdict(ACCEPT_CODE)


def drop() -> Rule:
    return _verdict(DROP_CODE)


def refuse() -> Rule:
    """Answer that nothing listens there, so that the caller need not wait."""
    return (_expression("reject", _number(1, 0), attribute(2, bytes([PORT_UNREACHABLE]))),)


def reset() -> Rule:
    return (_expression("reject", _number(1, TCP_RESET), attribute(2, b"\0")),)


def send_to(address: str) -> Rule:
    """Change the destination, not the port."""
    load = _expression("immediate", _number(1, REGISTER), _value(2, socket.inet_aton(address)))
    return (load, _expression("nat", _number(1, 1), _number(2, IPV4), _number(3, REGISTER)))


def masquerade() -> Rule:
    """Change the source to the address of the interface by which it leaves."""
    return (_expression("masq"),)
