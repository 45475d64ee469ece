"""The agent's own log: lines on its standard error."""

from __future__ import annotations

import sys
import time

from apps.agent.host import files


def say(text: str) -> None:
    """Write one line to the log, with the time."""
    sys.stderr.write(f"{files.rfc3339(time.time())} {text}\n")
    sys.stderr.flush()
