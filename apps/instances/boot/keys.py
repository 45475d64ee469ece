"""Pairs of keys of OpenSSH, Ed25519 all of them."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_ssh_private_key,
)
from cryptography.hazmat.primitives.serialization import PublicFormat as Public


class Pair(NamedTuple):
    """Both as OpenSSH reads them."""

    private: str
    public: str


def new() -> Pair:
    return _written(Ed25519PrivateKey.generate())


def read(private: str) -> Pair:
    """Return the pair of a private key."""
    key = load_ssh_private_key(private.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return Pair(private, _public(key))


def of_secret(secret: str, *, purpose: str) -> Pair:
    """Return the pair that follows from a secret; of another purpose it is another one."""
    seed = hashlib.sha256(f"{purpose}\0{secret}".encode()).digest()
    return _written(Ed25519PrivateKey.from_private_bytes(seed))


def _written(key: Ed25519PrivateKey) -> Pair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return Pair(private, _public(key))


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, Public.OpenSSH).decode()
