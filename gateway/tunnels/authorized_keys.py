"""The keys with which agents come in, and what each may do: forward its own ports, and call a
server that nobody else can reach. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from gateway.schema import RELAY_PORT, TunnelKey

LOOPBACK = "127.0.0.1"
# `restrict` takes all away, also what later versions of OpenSSH add.
RESTRICTIONS = 'restrict,port-forwarding,command="/bin/false"'
# Where there is nothing, and what sshd's own configuration forbids besides. That nothing may be
# opened cannot be written as `none`: sshd would pass the whole key over.
NOWHERE = 1


def text(keys: Iterable[TunnelKey]) -> str:
    """Return the file as sshd reads it; a key that may do nothing is left out."""
    return "".join(f"{line(each)}\n" for each in keys if may_come_in(each))


def line(key: TunnelKey) -> str:
    opened = RELAY_PORT if key.calls_server else NOWHERE
    listens = "".join(f',permitlisten="{LOOPBACK}:{port}"' for port in key.ports or [NOWHERE])
    return f'{RESTRICTIONS},permitopen="{LOOPBACK}:{opened}"{listens} {key.public_key}'


def may_come_in(key: TunnelKey) -> bool:
    return bool(key.public_key and (key.ports or key.calls_server))


def fingerprint(public_key: str) -> str:
    """Return what sshd calls a key in its log."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
