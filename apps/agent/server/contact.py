"""How it stands between this agent and its server: who answered last, and when."""

from __future__ import annotations

import time
import typing
from dataclasses import dataclass


@dataclass
class Contact:
    """Times are those of the clock that stands still while the host sleeps.

    `refused_since` is the first 401 of those since the last answer. `program_sha256` is that of the
    agent that the server has, "" where it did not say. `is_over`: it said that this agent is of a
    machine which is not its own any more.
    """

    answered_at: typing.Optional[float] = None
    refused_since: typing.Optional[float] = None
    program_sha256: str = ""
    is_over: bool = False
    now: typing.Callable[[], float] = time.monotonic

    def answered(self) -> None:
        self.answered_at, self.refused_since = self.now(), None

    def over(self) -> None:
        self.refused()
        self.is_over = True

    def refused(self) -> None:
        if self.refused_since is None:
            self.refused_since = self.now()
