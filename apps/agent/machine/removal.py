"""Taking the agent off a machine of a person's, once its server has said that it is over.

The program that does it lies beside the agent's own, needs nothing of it, and ends it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from apps.agent.host.journal import say

PROGRAM = "uninstall.py"
# It ends this process long before.
AGAIN_SECONDS = 300.0


def leave(folder: Path, stop: threading.Event) -> None:
    """Run the program until it ends this process; return when that is told to end."""
    program = folder / PROGRAM
    if not program.exists():
        say(f"{program} is missing: nothing runs here any more, but the agent is still there")
        stop.wait()
        return
    while True:
        try:
            subprocess.Popen(
                [sys.executable, str(program)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Whoever ends this process ends no more.
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            say(f"this agent cannot be taken off: {error}")
        if stop.wait(AGAIN_SECONDS):
            return
