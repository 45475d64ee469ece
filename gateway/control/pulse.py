"""The sidecar's pulse: its loop tells whoever started it, through a pipe, that it works.

Where the variable DSTACK_PULSE_FD names that pipe, its reader starts a sidecar anew from which no
byte has come for a while.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

SECONDS = 1.0
PIPE = int(os.environ.pop("DSTACK_PULSE_FD", "-1"))


async def run() -> None:
    """Beat until cancelled; a pipe that is full, or that nobody reads, is no fault."""
    while PIPE >= 0:
        with suppress(OSError):
            os.write(PIPE, b".")
        await asyncio.sleep(SECONDS)
