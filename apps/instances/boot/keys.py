"""Pairs of keys of OpenSSH, Ed25519 all of them."""

from __future__ import annotations

import base64
import hashlib
import secrets
import textwrap
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

KIND = b"ssh-ed25519"
SEED_BYTES, BLOCK_BYTES = 32, 8


class Pair(NamedTuple):
    """Both as OpenSSH reads them."""

    private: str
    public: str


def new() -> Pair:
    return _written(secrets.token_bytes(SEED_BYTES))


def read(private: str) -> Pair:
    """Return the pair of a private key."""
    key = load_ssh_private_key(private.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return Pair(private, public.decode())


def of_secret(secret: str, *, purpose: str) -> Pair:
    """Return the pair that follows from a secret; of another purpose it is another one."""
    return _written(hashlib.sha256(f"{purpose}\0{secret}".encode()).digest())


def _written(seed: bytes) -> Pair:
    """Write a key in the form of OpenSSH, each time the same: the library's has random bytes in it,
    and a machine that is asked for again must boot with the same text."""
    raw = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    public = _field(KIND) + _field(raw)
    check = hashlib.sha256(seed).digest()[:4] * 2
    inner = check + public + _field(seed + raw) + _field(b"")
    inner += bytes(range(1, 1 + -len(inner) % BLOCK_BYTES))
    plain = _field(b"none") + _field(b"none") + _field(b"")
    whole = b"openssh-key-v1\0" + plain + _number(1) + _field(public) + _field(inner)
    lines = "\n".join(textwrap.wrap(base64.b64encode(whole).decode(), 70))
    private = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{lines}\n-----END OPENSSH PRIVATE KEY-----\n"
    return Pair(private, f"{KIND.decode()} {base64.b64encode(public).decode()}")


def _field(content: bytes) -> bytes:
    return _number(len(content)) + content


def _number(value: int) -> bytes:
    return value.to_bytes(4, "big")
