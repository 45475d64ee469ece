"""A certificate that somebody brings: read, and refused with one sentence. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from apps.core.errors import Detail, Invalid

# What fits into one command of the gateway's HAProxy, with the key.
MOST_BYTES = 14_000
FEWEST_RSA_BITS = 2048
HOST = re.compile(r"(\*\.)?[a-z0-9._-]{1,250}")


@dataclass(frozen=True)
class Read:
    """What a chain says of itself; `chain` and `key` are PEM again, without anything around."""

    chain: str
    key: str
    hosts: tuple[str, ...]
    issuer: str
    fingerprint: str
    not_before: datetime
    not_after: datetime


def read(*, chain: str, key: str, domain: str, at: datetime) -> Read:
    """Read a chain, its own certificate first, and the key that belongs to it.

    Raise Invalid when a gateway of `domain` could not serve with them at `at`.
    """
    certificates, private = _chain(chain), _key(key)
    leaf = certificates[0]
    _check_key(leaf, private)
    _check_strength(certificates, private)
    _check_dates(leaf, at)
    texts = [each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates]
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    if len("".join(texts)) + len(text) > MOST_BYTES:
        raise _refusal("chain", f"The chain and its key are longer than {MOST_BYTES} bytes.")
    return Read(
        chain="".join(texts),
        key=text,
        hosts=_hosts(leaf, domain.lower()),
        issuer=_issuer(leaf),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )


def _chain(text: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        found = []
    if not found:
        raise _refusal("chain", "This is no certificate in PEM (-----BEGIN CERTIFICATE-----).")
    return found


def _key(text: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        message = "This key is protected by a password; bring it without one."
    except (ValueError, UnsupportedAlgorithm):
        message = "This is no private key in PEM (-----BEGIN PRIVATE KEY-----)."
    raise _refusal("key", message)


def _check_key(leaf: x509.Certificate, key: PrivateKeyTypes) -> None:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        fits = leaf.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)
    except (ValueError, UnsupportedAlgorithm):
        fits = False
    if not fits:
        message = "This key does not belong to the first certificate of the chain."
        raise _refusal("key", message)


def _check_strength(certificates: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < FEWEST_RSA_BITS:
            raise _refusal("key", f"An RSA key needs at least {FEWEST_RSA_BITS} bits.")
    elif not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _refusal("key", "The key must be RSA or of an elliptic curve (P-256, P-384).")
    elif not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        raise _refusal("key", "Of elliptic curves browsers take P-256, P-384 and P-521 only.")
    for each in certificates:
        if isinstance(each.signature_hash_algorithm, hashes.SHA1 | hashes.MD5):
            raise _refusal("chain", "The chain is signed with SHA-1 or MD5, which no client takes.")


def _check_dates(leaf: x509.Certificate, at: datetime) -> None:
    if leaf.not_valid_after_utc <= at:
        message = f"The certificate expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC."
        raise _refusal("chain", message)
    if leaf.not_valid_before_utc > at:
        when = f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
        raise _refusal("chain", f"The certificate is not good before {when} UTC.")


def _hosts(leaf: x509.Certificate, domain: str) -> tuple[str, ...]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        message = "The certificate names no host (it has no subject alternative name)."
        raise _refusal("chain", message) from None
    found = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    below = f".{domain}"
    hosts = sorted({name for name in found if HOST.fullmatch(name) and name.endswith(below)})
    if not hosts:
        given = ", ".join(found[:3])[:200] or "no host"
        message = f"The certificate is for {given}; this gateway serves names below {domain}."
        raise _refusal("chain", message)
    return tuple(hosts)


def _issuer(leaf: x509.Certificate) -> str:
    for kind in (x509.NameOID.COMMON_NAME, x509.NameOID.ORGANIZATION_NAME):
        for attribute in leaf.issuer.get_attributes_for_oid(kind):
            return str(attribute.value)[:200]
    return leaf.issuer.rfc4514_string()[:200]


def _refusal(path: str, message: str) -> Invalid:
    return Invalid(message, details=[Detail(path=path, message=message)])
