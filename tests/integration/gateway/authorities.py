"""A real ACME server (pebble) and a certificate authority of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID

from tests.free_ports import free_port
from tests.integration.gateway.harness import until

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


CA_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass
class Made:
    chain: str
    key: str


class Ca:
    """Signs what a test wants: names, lifetimes."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._cert = self._sign(self._name, self._key.public_key(), days=30, is_ca=True)

    @property
    def text(self) -> str:
        return self._cert.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, *hosts: str, days: float = 30, key: Key | None = None) -> Made:
        key = key or ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        leaf = self._sign(named, key.public_key(), days=days, hosts=hosts)
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        chain = leaf.public_bytes(serialization.Encoding.PEM).decode() + self.text
        return Made(chain, text.decode())

    def _sign(
        self,
        named: x509.Name,
        key: CertificatePublicKeyTypes,
        *,
        days: float,
        hosts: tuple[str, ...] = (),
        is_ca: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        # What Python 3.13 wants of all, where it is asked for nothing else.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        subject = x509.SubjectKeyIdentifier.from_public_key(key)
        builder = builder.add_extension(subject, critical=False)
        if is_ca:
            builder = builder.add_extension(CA_USAGE, critical=True)
        if hosts:
            names = [general_name(host) for host in hosts]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


@dataclass
class Pebble:
    """`url` is its directory; `ca_file` is what to trust to speak to it. Records of the DNS that it
    asks are set at `dns_url`."""

    url: str
    ca_file: Path
    log: Path
    dns_url: str


@contextlib.asynccontextmanager
async def pebble(
    folder: Path, *, http_port: int, host: str = "127.0.0.1", names_at: str = "127.0.0.1"
) -> AsyncIterator[Pebble]:
    """An ACME server at `host` that looks for each name at `names_at`, on `http_port`."""
    programs = [shutil.which(name) for name in ("pebble", "pebble-challtestsrv")]
    if None in programs:
        assert not os.environ.get("CI"), "pebble is not installed"
        pytest.skip("pebble is not installed")
    folder.mkdir()
    ca = Ca("Pebble's own")
    own = ca.sign(host)
    for name, text in (("ca.pem", ca.text), ("own.pem", own.chain), ("own.key", own.key)):
        (folder / name).write_text(text)
    port, manager, dns, tools = (free_port() for _ in range(4))
    settings = {
        "listenAddress": f"{host}:{port}",
        "managementListenAddress": f"127.0.0.1:{manager}",
        "certificate": str(folder / "own.pem"),
        "privateKey": str(folder / "own.key"),
        "httpPort": http_port,
        "tlsPort": http_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "domainBlocklist": ["blocked-domain.example"],
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    names = [str(programs[1]), "-defaultIPv4", names_at, "-defaultIPv6", ""]
    names += ["-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{tools}"]
    names += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
    server = [str(programs[0]), "-config", str(folder / "pebble.json")]
    server += ["-dnsserver", f"127.0.0.1:{dns}"]
    environ = {"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1"}
    log = folder / "log"
    with log.open("wb") as output:
        children = [
            subprocess.Popen(argv, env=environ, stdout=output, stderr=output, cwd=folder)
            for argv in (names, server)
        ]
    try:
        await until(lambda: listens(port, host))
        yield Pebble(
            f"https://{host}:{port}/dir", folder / "ca.pem", log, f"http://127.0.0.1:{tools}"
        )
    finally:
        for child in children:
            child.terminate()
            await asyncio.to_thread(child.wait, 10)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
