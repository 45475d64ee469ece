"""How long to wait before what failed is tried again."""

from __future__ import annotations

import random

# What has grown so often is over every bound.
MOST_STEPS = 30


class Backoff:
    """Pauses after failures in a row: `factor` times as long each time, up to a bound.

    Each is made shorter or longer by chance, by a share of `jitter` at most, so that many who
    failed together do not come back together.
    """

    def __init__(
        self,
        *,
        first_seconds: float,
        longest_seconds: float,
        factor: float = 2.0,
        jitter: float = 0.0,
    ) -> None:
        self._first, self._longest = first_seconds, longest_seconds
        self._factor, self._jitter = factor, jitter
        self._failures = 0

    def after(self, failures: int, *, chance: float) -> float:
        """Return the pause after so many failures in a row; `chance` is from 0 to 1."""
        grown = self._first * self._factor ** min(max(failures - 1, 0), MOST_STEPS)
        return min(grown, self._longest) * (1 + self._jitter * (2 * chance - 1))

    def next(self) -> float:
        """Count one more failure and return the pause after it."""
        self._failures += 1
        return self.after(self._failures, chance=random.random())

    def reset(self) -> None:
        """Begin anew: it worked."""
        self._failures = 0
