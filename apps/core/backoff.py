"""How long to wait before what failed is tried again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

# What is doubled so often is over every bound.
MOST_DOUBLINGS = 30


@dataclass(frozen=True)
class Backoff:
    """Pauses after failures in a row: `first`, then twice as long each time, up to `longest`."""

    first: timedelta
    longest: timedelta

    def after(self, failures: int) -> timedelta:
        """Return the pause after so many failures in a row, nothing after none."""
        if failures < 1:
            return timedelta(0)
        return min(self.first * (1 << min(failures - 1, MOST_DOUBLINGS)), self.longest)
