"""What HAProxy and the hold tell each other of a connection: a PROXY header, version 2.

HAProxy puts a `ToHold` (its unique id) into the header before the request's first byte; the hold
puts a `FromHold` there when it hands the request back; see `gateway.state.records`. So no header of
the request itself is needed, and no caller can forge one. Format: HAProxy's proxy-protocol.txt,
section 2.2. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.state import records
from gateway.state.records import FromHold

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FIXED_BYTES = 16
UNIQUE_ID = 0x05
# Bytes of the addresses by family: none, IPv4, IPv6, unix.
ADDRESS_BYTES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}
# A `ToHold`, field by field.
WORDS = re.compile(
    r"s(?P<slot>[0-9]{1,6}):(?P<number>[0-9.]*):(?P<attempt>[0-9]{1,3})"
    r"(?::(?P<idempotency_key>[0-9a-f-]{36})?)?"
)


class BadProxyHeader(ValueError):
    """Whoever connected is not our HAProxy."""


@dataclass(frozen=True)
class RequestIdentity:
    """`attempt` counts how often this request came back from a release; `caller_address` is the
    header's part that says who called, kept as it is; `idempotency_key` names a request that may
    not run twice; `number` is HAProxy's own of the request, so that it knows it again."""

    slot: int
    attempt: int
    caller_address: bytes
    idempotency_key: str = ""
    number: str = ""


def parse(data: bytes) -> tuple[RequestIdentity, bytes] | None:
    """Split the header off the first bytes; None while they are too few.

    Raise BadProxyHeader when they are no header of ours.
    """
    if not data.startswith(SIGNATURE[: len(data)]):
        raise BadProxyHeader("no PROXY header")
    if len(data) < FIXED_BYTES:
        return None
    length = int.from_bytes(data[14:16], "big")
    if len(data) < FIXED_BYTES + length:
        return None
    body = data[FIXED_BYTES : FIXED_BYTES + length]
    addresses = ADDRESS_BYTES.get(data[13] >> 4, 0)
    found = WORDS.fullmatch(unique_id(body[addresses:]))
    if found is None:
        raise BadProxyHeader("the PROXY header names no slot")
    caller_address = data[12:14] + body[:addresses]
    identity = RequestIdentity(
        slot=int(found["slot"]),
        attempt=int(found["attempt"]),
        caller_address=caller_address,
        idempotency_key=found["idempotency_key"] or "",
        number=found["number"],
    )
    return identity, data[FIXED_BYTES + length :]


def unique_id(entries: bytes) -> str:
    while len(entries) >= 3:
        length = int.from_bytes(entries[1:3], "big")
        if entries[0] == UNIQUE_ID:
            return entries[3 : 3 + length].decode("ascii", errors="replace")
        entries = entries[3 + length :]
    return ""


def write(identity: RequestIdentity, *, seconds: float) -> bytes:
    """Write the header for the way back of a request that waited `seconds`."""
    back = FromHold(
        slot=f"s{identity.slot}",
        seconds=f"{seconds:.3f}",
        attempt=identity.attempt + 1,
        number=identity.number,
    )
    words = records.write(back).encode()
    body = identity.caller_address[2:] + bytes([UNIQUE_ID]) + len(words).to_bytes(2, "big") + words
    return SIGNATURE + identity.caller_address[:2] + len(body).to_bytes(2, "big") + body
