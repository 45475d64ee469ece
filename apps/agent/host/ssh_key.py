"""The key with which this host comes in at gateways; its private part stays here."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from apps.agent.host.journal import say

NAME = "id_ed25519"
KEYGEN_SECONDS = 20.0


def public_key(folder: Path) -> str:
    """Return the line of the key, made if need be; "" where there is no `ssh-keygen`."""
    key = folder / NAME
    public = key.with_suffix(".pub")
    folder.mkdir(mode=0o700, exist_ok=True)
    if not public.exists():
        with contextlib.suppress(FileNotFoundError):
            key.unlink()
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=KEYGEN_SECONDS)
        except (OSError, subprocess.SubprocessError) as error:
            say(f"this machine has no key, so nothing can be tunnelled to it: {error}")
            return ""
    return public.read_text().strip()
