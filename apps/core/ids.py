"""Identifiers and names that we make."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
import uuid
import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_order, _last = threading.Lock(), [0]
TOKEN_KINDS = {
    "u": "user",
    "s": "service",
    "g": "gateway",
    "a": "agent",
    "e": "enrolment",
    "b": "browser",
}


def new_id() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562): ordered by the time it was made, those of a process
    also within one millisecond.

    Ordered keys keep the indexes of fast-growing tables compact.
    """
    milliseconds = time.time_ns() // 1_000_000
    with _order:
        number = (milliseconds << 74) | secrets.randbits(74)
        # By chance, not by one: a process that was forked has the same last one.
        number = max(number, _last[0] + 1 + secrets.randbits(32))
        _last[0] = number
    at, high, low = number >> 74, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return uuid.UUID(int=at << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low)


def base62(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits or "0"


def new_token(kind: str) -> str:
    """Return `dsk_<kind>_<base62 of 192 random bits><CRC32 in base62>`.

    The checksum lets secret scanners tell a token from chance; nobody here checks it.
    """
    if kind not in TOKEN_KINDS:
        raise ValueError(f"unknown kind of token: {kind}")
    body = f"dsk_{kind}_{base62(secrets.randbits(192)).rjust(33, '0')}"
    return body + base62(zlib.crc32(body.encode())).rjust(6, "0")


def token_hash(token: str) -> str:
    """Return the lower-case hex SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
