"""Certificates and keys as text: what a chain says of itself, and what may go to HAProxy."""

from __future__ import annotations

import re
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import BadCertificate

ROW = re.compile(r"[A-Za-z0-9+/=]{1,80}|-----(BEGIN|END) [A-Z0-9 ]{1,40}-----")
# HAProxy reads a command with its payload into one buffer of 16 KiB.
MOST_BYTES = 15_000
FALLBACK_DAYS = 3650


@dataclass(frozen=True)
class Lifetime:
    """From when until when a chain's own certificate is good, in seconds since 1970."""

    not_before: float
    not_after: float


def lifetime(chain: str) -> Lifetime:
    """Read the lifetime of a chain's first certificate. Raises
    BadCertificate."""
    try:
        leaf = x509.load_pem_x509_certificate(chain.encode())
    except ValueError as error:
        raise BadCertificate(f"the certificate cannot be read: {error}") from None
    return Lifetime(leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp())


def payload(text: str) -> str:
    """Return PEM as rows that may follow `<<` on the runtime socket.

    A blank row would end the payload and what follows would be commands, so only rows of base64 and
    marks pass. Raise BadCertificate.
    """
    rows = [row for row in (each.strip() for each in text.splitlines()) if row]
    if not all(ROW.fullmatch(row) for row in rows):
        raise BadCertificate("the certificate holds rows that are not PEM")
    whole = "".join(f"{row}\n" for row in rows)
    if len(whole) > MOST_BYTES:
        raise BadCertificate(f"the certificate and its key are longer than {MOST_BYTES} bytes")
    return whole


def check(text: str) -> None:
    """Try chain and key as HAProxy will when it starts: one that it cannot load
    would keep it from starting. Raise BadCertificate."""
    with tempfile.NamedTemporaryFile("w", dir=".", prefix="tls-", suffix=".pem") as file:
        file.write(text)
        file.flush()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file.name)
        except ssl.SSLError as error:
            reason = (error.reason or "unknown").replace("_", " ").lower()
            raise BadCertificate(f"the certificate cannot be used: {reason}") from None


def key_text() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """Make a private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key, text.decode()


def self_signed(name: str) -> str:
    """Make a certificate that nobody trusts, with its key."""
    key, text = key_text()
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=FALLBACK_DAYS))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode() + text
