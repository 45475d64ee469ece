"""Private keys of ssh: those that people give, and the one that the server makes for a project."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from apps.accounts.models import Project
from apps.core import crypto
from apps.core.errors import Detail, Invalid
from apps.hosts.models import Host, ProjectKey

MOST_BYTES = 32 * 1024
LEAST_RSA_BITS = 2048
NO_KEY = (
    "This is no private key of ssh: give the whole file, such as ~/.ssh/id_ed25519, from "
    "-----BEGIN to -----END."
)
PASSPHRASE = (
    "This key has a passphrase, and nobody is there to type it: give a key without one, or leave "
    "the key out and add the server's own public key to ~/.ssh/authorized_keys of the host."
)
Known = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def checked(text: str) -> str:
    """Return a private key as OpenSSH writes it. Raise Invalid for what is none, or locked."""
    data = text.strip().encode(errors="replace") + b"\n"
    if len(data) > MOST_BYTES or not data.startswith(b"-----BEGIN "):
        raise _refused(NO_KEY)
    if b"ENCRYPTED PRIVATE KEY" in data or b"4,ENCRYPTED" in data:
        raise _refused(PASSPHRASE)
    key = _loaded(data)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        raise _refused(f"An RSA key of {key.key_size} bits is too short: ssh refuses it.")
    return _written(key)


def _loaded(data: bytes) -> Known:
    is_openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    try:
        if is_openssh:
            found: object = serialization.load_ssh_private_key(data, password=None)
        else:
            found = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise _refused(PASSPHRASE) from None
    except (ValueError, UnsupportedAlgorithm) as error:
        locked = "password" in str(error).lower()
        raise _refused(PASSPHRASE if locked else NO_KEY) from None
    if isinstance(found, dsa.DSAPrivateKey):
        raise _refused("ssh takes no DSA keys any more: give one of ED25519.")
    if not isinstance(found, Known):
        raise _refused(NO_KEY)
    return found


def _written(key: Known) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()


def _refused(text: str) -> Invalid:
    return Invalid(text, details=[Detail("key", text)])


def of_project(project: Project) -> ProjectKey:
    """Return the pair of a project, made at the first call."""
    found = ProjectKey.objects.filter(project=project).first()
    if found is not None:
        return found
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    made = {
        "private": crypto.encrypt(_written(key)),
        "public": f"{public.decode()} dstack-web-{project.name}",
    }
    return ProjectKey.objects.get_or_create(project=project, defaults=made)[0]


def of_host(host: Host) -> str:
    """Return the private key with which the host lets us in."""
    text: str = crypto.decrypt(host.key or of_project(host.project).private)
    return text
