"""The agent's pulse: it tells whoever started it that it works, who starts a silent one anew.

The server's own start reads it from a pipe, named by the variable DSTACK_PULSE_FD. systemd reads it
from the socket NOTIFY_SOCKET, which stays in the environment for the program that an update makes
of this process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

PIPE = int(os.environ.pop("DSTACK_PULSE_FD", "-1"))
SYSTEMD_SECONDS = 1.0

_told_at = float("-inf")


def beat() -> None:
    """Say that this process works; where nobody listens that is no fault."""
    if PIPE >= 0:
        with contextlib.suppress(OSError):
            os.write(PIPE, b".")
    global _told_at
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address and time.monotonic() - _told_at >= SYSTEMD_SECONDS:
        _told_at = time.monotonic()
        _tell(address)


def _tell(address: str) -> None:
    """Send what the protocol of sd_notify has for this; "@" begins an abstract name."""
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.setblocking(False)
        told.sendto(b"WATCHDOG=1", address)
