"""What OpenSSH says of a connection that failed, in words for a person; and fingerprints. Pure."""

from __future__ import annotations

import base64
import hashlib
import re

from apps.hosts.address import Place

# The code with which ssh itself ends; a command there may end with it too.
NOT_CONNECTED = 255
NO_SSH = "What answers at {at} is no ssh server: is the port right?"
NO_KEY = "The key cannot be used by ssh: give another one."
# What ssh writes, and what it means. Nothing that the other side said is ever passed on: what
# answers may be anything in this server's network, and the reader a stranger to that.
TABLE: tuple[tuple[str, str], ...] = (
    (
        "Permission denied",
        "{at} does not let this key in: is its public half in ~/.ssh/authorized_keys of that user?",
    ),
    ("Too many authentication failures", "{at} does not let this key in."),
    ("error in libcrypto", NO_KEY),
    ("invalid format", NO_KEY),
    ("Could not resolve hostname", "The name of {at} is not known there: is it written well?"),
    ("Connection refused", "Nothing listens at {at}: does sshd run there, on this port?"),
    ("No route to host", "There is no way to {at} from this server."),
    ("Network is unreachable", "There is no way to {at} from this server."),
    ("timed out", "{at} does not answer: is it on, and does its firewall let ssh in?"),
    (
        "administratively prohibited",
        "The jump host does not pass connections on to {at} (AllowTcpForwarding).",
    ),
    (
        "Unable to negotiate",
        "{at} and this server have no cipher or kind of key in common: update its sshd.",
    ),
    ("banner", NO_SSH),
    ("remote protocol", NO_SSH),
    ("protocol major versions differ", NO_SSH),
    ("Bad packet length", NO_SSH),
    (
        "kex_exchange_identification",
        "{at} ends the connection before ssh begins: does sshd run on this port, and does it let "
        "this server in?",
    ),
    ("Connection closed", "{at} closed the connection."),
    ("Connection reset", "{at} closed the connection."),
)
UNKNOWN = "{at} cannot be reached: ssh ended with an error that the server's log has."
# Where a key is another one than is known, and where it is of another kind than is known.
OTHER_KEYS = (
    re.compile(r"^Host key for (host|jump) has changed", re.MULTILINE),
    re.compile(r"^No \S+ host key is known for (host|jump) and you", re.MULTILINE),
)


def in_words(errors: str, place: Place, jump: Place | None, *, called: str = "") -> str:
    """Return one sentence about what ssh wrote; `called` is the address of the jump host, where it
    has a name."""
    at = str(place)
    if jump is not None and _is_of(jump, called or jump.address, errors):
        at = f"the jump host {jump}"
    sentence = next((text for mark, text in TABLE if mark in errors), UNKNOWN).format(at=at)
    return sentence[0].upper() + sentence[1:] if sentence.startswith("the ") else sentence


def _is_of(jump: Place, called: str, errors: str) -> bool:
    """Tell whether it is the jump host of which ssh speaks. It alone is connected to from here."""
    plain = errors.replace("[", "").replace("]", "")
    return f"{jump.user}@{called}:" in plain or f"connect to host {called} port" in plain


def with_another_key(errors: str) -> str:
    """Return the alias of the host whose key is another one than is known, "" where it is not."""
    found = next((match for each in OTHER_KEYS if (match := each.search(errors))), None)
    return found[1] if found else ""


def fingerprint(known_hosts: str, alias: str) -> str:
    """Return the SHA256 fingerprint of a known key as ssh-keygen writes it, "" where it is none."""
    for line in known_hosts.splitlines():
        words = line.split()
        if len(words) >= 3 and words[0] == alias:
            try:
                blob = base64.b64decode(words[2], validate=True)
            except ValueError:
                return ""
            digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
            return f"SHA256:{digest}"
    return ""
