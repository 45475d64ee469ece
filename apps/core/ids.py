"""Identifiers and names that we make."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
import zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKEN_KINDS = {"u": "user", "s": "service", "g": "gateway", "a": "agent"}


def new_id() -> uuid.UUID:
    """This function will return a UUID of version 7 (RFC 9562): ordered by the time it was made.

    Ordered keys keep the indexes of fast-growing tables compact.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value &= ~(0xF << 76) & ~(0x3 << 62)
    return uuid.UUID(int=value | (0x7 << 76) | (0x2 << 62))


def base62(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = BASE62[rest] + digits
    return digits or "0"


def new_token(kind: str) -> str:
    """This function will return `dsk_<kind>_<base62 of 192 random bits><CRC32 in base62>`.

    The checksum lets secret scanners tell a token from chance; nobody here checks it.
    """
    if kind not in TOKEN_KINDS:
        raise ValueError(f"unknown kind of token: {kind}")
    body = f"dsk_{kind}_{base62(secrets.randbits(192)).rjust(33, '0')}"
    return body + base62(zlib.crc32(body.encode())).rjust(6, "0")


def token_hash(token: str) -> str:
    """This function will return the lower-case hex SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
