"""Whether a child that runs still works: one that hangs is noticed and started anew.

A child is asked a question of its own, or tells of itself by a pulse: a byte through a pipe from
the loop that does its work. Silence counts against it only while the supervisor itself is on time:
a machine that is overloaded, or was asleep, is no fault of a child's.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

PULSE_VARIABLE = "DSTACK_PULSE_FD"
# Longer than anything takes on a machine that is merely busy: there it costs nothing to wait.
ANSWER_SECONDS = 10.0
# While a child starts it is asked often, so that it is known soon whether it came up.
START_LOOK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How a child is watched.

    `answers` is one question, with a time-out of its own; it is asked in a thread. Without it the
    child is to send a pulse, one in `pulse_seconds` at least. It hangs after `misses` questions in
    vain and `silent_seconds` without an answer; where the kernel says that it is stopped, after
    `misses` looks. Until its first answer after a start it has `start_seconds`.
    """

    answers: Callable[[], bool] | None = None
    pulse_seconds: float = ANSWER_SECONDS
    every_seconds: float = 3.0
    misses: int = 3
    silent_seconds: float = 30.0
    start_seconds: float = 120.0


class Pulse:
    """A pipe through which a child says, again and again, that it works."""

    def __init__(self) -> None:
        # Neither side ever waits: a pipe that nobody reads is simply full.
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def beats(self, *, seconds: float) -> bool:
        """Return whether the child sends anything within `seconds`."""
        poll = select.poll()
        poll.register(self._read_end, select.POLLIN)
        has_come = bool(poll.poll(seconds * 1000))
        self.clear()
        return has_come

    def clear(self) -> None:
        """Forget what was sent so far."""
        with suppress(BlockingIOError):
            while os.read(self._read_end, 4096):
                pass


class Question:
    """One question under way; `answer` is None until it is over."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self.answer: bool | None = None
        threading.Thread(target=self._ask, args=(ask,), daemon=True).start()

    def _ask(self, ask: Callable[[], bool]) -> None:
        found = False
        try:
            found = ask()
        finally:
            self.answer = found


class Watching:
    """What is known of a watched child since its last start. Times are monotonic."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.pulse = None if watch.answers else Pulse()
        self._ask = watch.answers or self.pulse_beats
        self.begin(at=0.0)

    def pulse_beats(self) -> bool:
        assert self.pulse is not None
        return self.pulse.beats(seconds=self.watch.pulse_seconds)

    def begin(self, *, at: float) -> None:
        """Forget the process before: another one was started."""
        if self.pulse:
            self.pulse.clear()
        self.has_answered = False
        self._started_at = at
        self.forgive(at=at)

    def forgive(self, *, at: float) -> None:
        """Begin anew to count, from `at` on; what is being asked counts no more."""
        self._missed = self._stopped = 0
        self._good_at = self._due_at = at
        self._question: Question | None = None

    def silent_seconds(self, *, at: float) -> float:
        return at - self._good_at

    def hangs(self, *, at: float, is_stopped: bool) -> bool:
        """Ask what is due, and return whether the child is taken to hang."""
        if self._question is not None and self._question.answer is not None:
            self._hear(self._question.answer, at=at)
        if self._question is None and at >= self._due_at:
            self._look(at=at, is_stopped=is_stopped)
        if self._stopped >= self.watch.misses:
            return True
        is_silent = self.silent_seconds(at=at) >= self.watch.silent_seconds
        return self._missed >= self.watch.misses and is_silent

    def _look(self, *, at: float, is_stopped: bool) -> None:
        self._stopped = self._stopped + 1 if is_stopped else 0
        if is_stopped:
            self._due_at = at + self.watch.every_seconds
        else:
            self._question = Question(self._ask)

    def _hear(self, answer: bool, *, at: float) -> None:
        self._question = None
        self._due_at = at + self.watch.every_seconds
        if answer:
            self.has_answered, self._good_at, self._missed = True, at, 0
        elif self.has_answered or at - self._started_at > self.watch.start_seconds:
            self._missed += 1
        else:
            self._due_at = at + START_LOOK_SECONDS
