"""Who waits for one service, and how many of them may go at once. Pure but for the callbacks.

500 requests sent at once to a server that has just opened its port overrun its listen backlog
(tried with a backlog of 5: 323 lost). So at most `UNANSWERED_PER_REPLICA` released requests are
without an answer at a time, and the window grows by one with each answer.
"""

from __future__ import annotations

from collections import deque

from gateway.hold.request import HeldRequest
from gateway.schema import Hold

UNANSWERED_PER_REPLICA = 16
# A request that came back so often found replicas that are up and take nothing.
MOST_ATTEMPTS = 20


class Queue:
    """The held requests of one endpoint, oldest first."""

    def __init__(self) -> None:
        self.waiting: deque[HeldRequest] = deque()
        self.unanswered: set[HeldRequest] = set()
        self._answers = 0

    @property
    def memory_bytes(self) -> int:
        """Count what the waiting requests have in memory.

        Summed up each time: a running total would keep what comes between two steps of a release.
        """
        return sum(each.memory_bytes for each in self.waiting)

    def admits(self, request: HeldRequest, bounds: Hold) -> bool:
        """Tell whether one more may wait."""
        if request.identity.attempt:
            return request.identity.attempt < MOST_ATTEMPTS
        return len(self.waiting) < bounds.max_requests

    def enter(self, request: HeldRequest) -> None:
        # One that was released already goes first: others may wait for its answer.
        if request.identity.attempt:
            self.waiting.appendleft(request)
        else:
            self.waiting.append(request)

    def leave(self, request: HeldRequest) -> None:
        """Forget a request, wherever it is."""
        self.unanswered.discard(request)
        if request in self.waiting:
            self.waiting.remove(request)

    def answered(self, request: HeldRequest) -> None:
        if request in self.unanswered:
            self.unanswered.discard(request)
            self._answers += 1

    def take(self, *, replicas: int) -> list[HeldRequest]:
        """Take out those that may go now that `replicas` are up."""
        if replicas == 0:
            return []
        window = UNANSWERED_PER_REPLICA * replicas + self._answers
        going: list[HeldRequest] = []
        while self.waiting and (self.waiting[0].identity.attempt or len(self.unanswered) < window):
            request = self.waiting.popleft()
            going.append(request)
            if not request.identity.attempt:
                self.unanswered.add(request)
        return going

    def overdue(self, *, at: float, bounds: Hold) -> list[HeldRequest]:
        """List those that have waited too long at `at` (monotonic seconds)."""
        return [each for each in self.waiting if at - each.since >= bounds.timeout_seconds]

    def next_deadline(self, bounds: Hold) -> float | None:
        """Return when the oldest has waited too long, in monotonic seconds."""
        return min(
            (each.since + bounds.timeout_seconds for each in self.waiting),
            default=None,
        )

    @property
    def is_empty(self) -> bool:
        return not self.waiting and not self.unanswered
