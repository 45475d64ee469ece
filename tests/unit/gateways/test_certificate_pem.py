"""What is refused of a certificate that somebody brings, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from apps.core.errors import Invalid
from apps.gateways import pem
from tests.integration.gateway.authorities import Ca

CA = Ca("Some Issuer")
NOW = datetime.now(UTC)


def read(chain: str, key: str, *, at: datetime = NOW) -> pem.Read:
    return pem.read(chain=chain, key=key, domain="example.org", at=at)


def test_reads_names_issuer_and_dates() -> None:
    made = CA.sign("*.example.org", "a.example.org", "a.example.com")

    found = read(f"Bag Attributes\n\n{made.chain}", made.key.replace("\n", "\r\n"))

    assert found.hosts == ("*.example.org", "a.example.org")
    assert found.issuer == "Some Issuer"
    assert found.not_before < NOW < found.not_after
    assert "Bag" not in found.chain and found.chain.count("BEGIN CERTIFICATE") == 2
    assert "\r" not in found.key and "\n\n" not in found.chain + found.key


def test_refuses_what_is_no_pem() -> None:
    made = CA.sign("a.example.org")
    with pytest.raises(Invalid, match="no certificate in PEM"):
        read("hello", made.key)
    with pytest.raises(Invalid, match="no private key in PEM"):
        read(made.chain, made.chain)


def test_refuses_a_key_of_another_certificate() -> None:
    with pytest.raises(Invalid, match="does not belong to the first certificate"):
        read(CA.sign("a.example.org").chain, CA.sign("a.example.org").key)


def test_refuses_a_key_with_a_password() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(Invalid, match="protected by a password"):
        read(CA.sign("a.example.org").chain, text.decode())


def test_refuses_other_names_than_the_gateways() -> None:
    made = CA.sign("a.example.com", "b.example.com")
    with pytest.raises(Invalid, match=r"is for a\.example\.com, b\.example\.com; this gateway"):
        read(made.chain, made.key)
    made = CA.sign("notexample.org")
    with pytest.raises(Invalid, match="serves names below example.org"):
        read(made.chain, made.key)


def test_refuses_what_is_not_good_now() -> None:
    made = CA.sign("a.example.org", days=1)
    with pytest.raises(Invalid, match="The certificate expired at 20"):
        read(made.chain, made.key, at=NOW + timedelta(days=2))
    with pytest.raises(Invalid, match="not good before 20"):
        read(made.chain, made.key, at=NOW - timedelta(days=2))


def test_refuses_a_chain_that_is_too_long() -> None:
    made = CA.sign("a.example.org")
    with pytest.raises(Invalid, match="longer than 14000 bytes"):
        read(made.chain + CA.text * 40, made.key)


def test_refuses_kinds_of_keys_that_browsers_do_not_take() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    made = CA.sign("a.example.org", key=key)
    with pytest.raises(Invalid, match="RSA or of an elliptic curve"):
        read(made.chain, made.key)
