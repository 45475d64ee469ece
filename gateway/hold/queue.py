"""Who waits for one service, and how many of them may go at once. Pure but for the callbacks.

500 requests sent at once to a server that has just opened its port overrun its listen backlog
(tried with a backlog of 5: 323 lost). So at most `UNANSWERED_PER_REPLICA` released requests are
without an answer at a time, and the window grows by one with each answer.
"""

from __future__ import annotations

from collections import deque

from gateway.hold.held import Held
from gateway.schema import Hold

UNANSWERED_PER_REPLICA = 16
# A request that came back so often found replicas that are up and take nothing.
MOST_TURNS = 20


class Queue:
    """The held requests of one endpoint, oldest first."""

    def __init__(self) -> None:
        self.waiting: deque[Held] = deque()
        self.unanswered: set[Held] = set()
        self._answers = 0

    @property
    def memory_bytes(self) -> int:
        """This function will count what the waiting requests have in memory.

        Summed up each time: a running total would keep what comes between two steps of a release.
        """
        return sum(each.memory_bytes for each in self.waiting)

    def admits(self, held: Held, bounds: Hold) -> bool:
        """This function will tell whether one more may wait."""
        if held.ticket.turn:
            return held.ticket.turn < MOST_TURNS
        return len(self.waiting) < bounds.max_requests

    def enter(self, held: Held) -> None:
        # One that was released already goes first: others may wait for its answer.
        if held.ticket.turn:
            self.waiting.appendleft(held)
        else:
            self.waiting.append(held)

    def leave(self, held: Held) -> None:
        """This function will forget a request, wherever it is."""
        self.unanswered.discard(held)
        if held in self.waiting:
            self.waiting.remove(held)

    def answered(self, held: Held) -> None:
        if held in self.unanswered:
            self.unanswered.discard(held)
            self._answers += 1

    def take(self, *, replicas: int) -> list[Held]:
        """This function will take out those that may go now that `replicas` are up."""
        if replicas == 0:
            return []
        window = UNANSWERED_PER_REPLICA * replicas + self._answers
        going: list[Held] = []
        while self.waiting and (self.waiting[0].ticket.turn or len(self.unanswered) < window):
            held = self.waiting.popleft()
            going.append(held)
            if not held.ticket.turn:
                self.unanswered.add(held)
        return going

    def overdue(self, *, at: float, bounds: Hold) -> list[Held]:
        """This function will list those that have waited too long at `at` (monotonic seconds)."""
        return [each for each in self.waiting if at - each.since >= bounds.timeout_seconds]

    def next_deadline(self, bounds: Hold) -> float | None:
        """This function will return when the oldest has waited too long, in monotonic seconds."""
        return min(
            (each.since + bounds.timeout_seconds for each in self.waiting),
            default=None,
        )

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.unanswered
