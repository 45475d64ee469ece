"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random

FIRST_SECONDS, LONGEST_SECONDS = 0.2, 5.0
# Made shorter by chance, so that agents whose server was away do not come back together.
SHORTEST_SHARE = 0.75


class Backoff:
    """Pauses after failures in a row: twice as long each time, up to a bound."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def next(self) -> float:
        """Return the pause after one more failure."""
        pause, self._next = self._next, min(self._next * 2, LONGEST_SECONDS)
        return pause * random.uniform(SHORTEST_SHARE, 1.0)

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._next = FIRST_SECONDS
