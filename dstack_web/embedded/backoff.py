"""How long a child that ended waits until it is started again; pure.

A child that does not come up costs a start each time, so it waits longer and longer. One that
worked, or that somebody killed, says nothing against the next start, however often that happens.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

# For one that does not come up; the last figure goes on.
CRASHED_SECONDS = (0.1, 0.5, 1, 2, 5, 10, 30)
# For one that was killed while it started: the machine may lack memory for it.
KILLED_SECONDS = (0.1, 0.5, 1, 2, 3)
WORKED_SECONDS = (0.1, 0.2, 0.5, 1, 2)
# One that lived this long is forgiven its earlier ends.
STEADY_SECONDS = 60
# One that came up and ends by itself sooner did not work.
WORKED_AFTER_SECONDS = 10
FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


@dataclass(frozen=True)
class Ends:
    """How often a child has ended in a row: of itself without having worked, and otherwise."""

    crashes: int = 0
    others: int = 0

    @property
    def count(self) -> int:
        return self.crashes + self.others


def after(ends: Ends, *, code: int, lived_seconds: float, came_up: bool) -> tuple[Ends, float]:
    """Return the ends with one more, and how many seconds to wait until the next start.

    `code` is negative for a signal, as `subprocess` has it; `came_up` says that it answered.
    """
    if lived_seconds > STEADY_SECONDS:
        ends = Ends()
    was_killed = -code in FROM_OUTSIDE
    # A server that is told to stop ends with 0.
    if came_up and (was_killed or code == 0 or lived_seconds >= WORKED_AFTER_SECONDS):
        ends = Ends(others=ends.others + 1)
        return ends, at(WORKED_SECONDS, ends.others)
    if was_killed:
        ends = replace(ends, others=ends.others + 1)
        return ends, at(KILLED_SECONDS, ends.others)
    ends = replace(ends, crashes=ends.crashes + 1)
    return ends, at(CRASHED_SECONDS, ends.crashes)


def at(table: tuple[float, ...], count: int) -> float:
    return table[min(count, len(table)) - 1]
