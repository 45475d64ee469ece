"""What HAProxy and the hold tell each other of a connection: a PROXY header, version 2.

HAProxy puts `SLOT:SECONDS:TURN:ONCE` (its unique id) into the header before the request's first
byte; the hold puts its own, without ONCE, there when it hands the request back. So no header of
the request itself is needed, and no caller can forge one. Format: HAProxy's proxy-protocol.txt,
section 2.2. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED_BYTES = 16
UNIQUE_ID = 0x05
# Bytes of the addresses by family: none, IPv4, IPv6, unix.
ADDRESS_BYTES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}
WORDS = re.compile(r"s([0-9]{1,6}):[0-9.]*:([0-9]{1,3})(?::([0-9a-f-]{36})?)?")


class BadTicket(ValueError):
    """Whoever connected is not our HAProxy."""


@dataclass(frozen=True)
class Ticket:
    """`turn` counts how often this request came back from a release; `origin` is the header's
    part that says who called, kept as it is; `once` names a request that may not run twice."""

    slot: int
    turn: int
    origin: bytes
    once: str = ""


def parse(data: bytes) -> tuple[Ticket, bytes] | None:
    """This function will split the header off the first bytes; None while they are too few.

    Raises BadTicket when they are no header of ours.
    """
    if not data.startswith(SIGNATURE[: len(data)]):
        raise BadTicket("no PROXY header")
    if len(data) < FIXED_BYTES:
        return None
    length = int.from_bytes(data[14:16], "big")
    if len(data) < FIXED_BYTES + length:
        return None
    body = data[FIXED_BYTES : FIXED_BYTES + length]
    addresses = ADDRESS_BYTES.get(data[13] >> 4, 0)
    found = WORDS.fullmatch(unique_id(body[addresses:]))
    if found is None:
        raise BadTicket("the PROXY header names no slot")
    origin = data[12:14] + body[:addresses]
    ticket = Ticket(int(found[1]), int(found[2]), origin, found[3] or "")
    return ticket, data[FIXED_BYTES + length :]


def unique_id(entries: bytes) -> str:
    while len(entries) >= 3:
        length = int.from_bytes(entries[1:3], "big")
        if entries[0] == UNIQUE_ID:
            return entries[3 : 3 + length].decode("ascii", errors="replace")
        entries = entries[3 + length :]
    return ""


def write(ticket: Ticket, *, seconds: float) -> bytes:
    """This function will write the header for the way back of a request that waited `seconds`."""
    words = f"s{ticket.slot}:{seconds:.3f}:{ticket.turn + 1}".encode()
    body = ticket.origin[2:] + bytes([UNIQUE_ID]) + len(words).to_bytes(2, "big") + words
    return SIGNATURE + ticket.origin[:2] + len(body).to_bytes(2, "big") + body
