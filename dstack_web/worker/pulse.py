"""The pulse of workers and beat: they tell their supervisor that they work.

Where the variable DSTACK_PULSE_FD names a pipe, its reader starts a process anew from which no
byte has come for a while. Each byte is sent by the loop that does the work, also while that loop
waits for a broker that is away: such a process has nothing to gain from a new start.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

SECONDS = 1.0
PIPE = int(os.environ.pop("DSTACK_PULSE_FD", "-1"))


def beat() -> None:
    """Say that this process works; a pipe that is full, or that nobody reads, is no fault."""
    if PIPE >= 0:
        with suppress(OSError):
            os.write(PIPE, b".")


def beating(connection: Any) -> Any:
    """Let a connection of kombu's beat, second by second, while it waits for its next try."""
    connect = connection.ensure_connection

    def connect_and_beat(*args: Any, callback: Any = None, **kwargs: Any) -> Any:
        def each_second() -> None:
            beat()
            if callback is not None:
                callback()

        return connect(*args, callback=each_second, **kwargs)

    connection.ensure_connection = connect_and_beat
    return connection
