"""The certificates of an authority, read from the file that a variable names."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from dstack_web.variables.variable import BadVariable

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?")
# It goes into what a machine boots with, for which clouds take 16 KB.
MOST_BYTES = 5000


def read(path: str, *, name: str) -> str:
    """Return what of a file is certificates, "" without a path. Raise BadVariable."""
    if not path:
        return ""
    try:
        found = CERTIFICATE.findall(Path(path).expanduser().read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise BadVariable(f"{name}: {path} cannot be read: {error}") from None
    # Whatever else lies there, a key for instance, goes to no machine.
    text = "".join(f"{each.strip()}\n" for each in found)
    try:
        ssl.create_default_context(cadata=text or "none")
    except (ssl.SSLError, ValueError):
        raise BadVariable(
            f"{name}: {path} holds no certificate that can be used: give a file in PEM form"
        ) from None
    if len(text) > MOST_BYTES:
        raise BadVariable(
            f"{name}: the certificates in {path} are longer than {MOST_BYTES} bytes: "
            "name the authority alone"
        )
    return text
