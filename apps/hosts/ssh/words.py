"""What OpenSSH says of a connection that failed, in words for a person; and fingerprints. Pure."""

from __future__ import annotations

import base64
import hashlib

from apps.hosts.address import Place

# The code with which ssh itself ends; a command there may end with it too.
NOT_CONNECTED = 255
CHANGED = (
    "The host key of {at} is another one than at the first contact: somebody may be in between. If "
    "the machine was set up anew, remove the host and add it again."
)
# What ssh writes, what it means, and whether it is a refusal.
TABLE: tuple[tuple[str, str, bool], ...] = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", CHANGED, True),
    ("Host key verification failed", CHANGED, True),
    (
        "Permission denied",
        "{at} does not let this key in: is its public half in ~/.ssh/authorized_keys of that user?",
        True,
    ),
    ("Too many authentication failures", "{at} does not let this key in.", True),
    ("error in libcrypto", "The key cannot be used by ssh: give another one.", True),
    ("invalid format", "The key cannot be used by ssh: give another one.", True),
    (
        "Could not resolve hostname",
        "The name of {at} is not known here: is it written well?",
        False,
    ),
    (
        "Connection refused",
        "Nothing listens at {at}: does sshd run there, on this port?",
        False,
    ),
    ("No route to host", "There is no way to {at} from this server.", False),
    ("Network is unreachable", "There is no way to {at} from this server.", False),
    ("timed out", "{at} does not answer: is it on, and does its firewall let ssh in?", False),
    (
        "administratively prohibited",
        "The jump host does not pass connections on to {at} (AllowTcpForwarding).",
        True,
    ),
    ("Connection closed by", "{at} closed the connection.", False),
    ("Connection reset", "{at} closed the connection.", False),
)


def in_words(errors: str, place: Place, jump: Place | None) -> tuple[str, bool]:
    """Return one sentence about what ssh wrote, and whether the host refuses us."""
    at = str(place)
    if jump is not None and f"{jump.user}@{jump.address}" in errors.replace("[", "").replace(
        "]", ""
    ):
        at = f"the jump host {jump}"
    for mark, sentence, is_refusal in TABLE:
        if mark in errors:
            return sentence.format(at=at), is_refusal
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = "".join(each for each in (lines[-1] if lines else "") if each.isprintable())[:200]
    return f"{at} cannot be reached: {last.rstrip('.') or 'ssh says nothing'}.", False


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
