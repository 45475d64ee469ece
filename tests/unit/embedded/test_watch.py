"""When a child is taken to hang; the times are the test's own."""

from __future__ import annotations

import os
import time

from dstack_web.embedded.watch import Watch, Watching


class Child:
    """Answers as it is told, and is looked at once a second."""

    def __init__(self, *, start_seconds: float = 60.0) -> None:
        self.answer = True
        self.asked = 0
        self.at = 0.0
        watch = Watch(answers=self.ask, every_seconds=1, start_seconds=start_seconds)
        self.watching = Watching(watch)

    def ask(self) -> bool:
        self.asked += 1
        return self.answer

    def hangs(self, *, seconds: int = 1, is_stopped: bool = False) -> bool:
        found = False
        for _ in range(seconds):
            self.at += 1
            found = self.watching.hangs(at=self.at, is_stopped=is_stopped)
            self.wait_for_answer()
        return found

    def wait_for_answer(self) -> None:
        question = self.watching._question
        end = time.monotonic() + 10
        while question is not None and question.answer is None:
            assert time.monotonic() < end
            time.sleep(0.001)


def test_one_that_answers_does_not_hang() -> None:
    child = Child()

    assert not child.hangs(seconds=200)
    assert child.watching.has_answered


def test_one_that_falls_silent_hangs_after_half_a_minute() -> None:
    child = Child()
    child.hangs(seconds=10)
    child.answer = False

    assert not child.hangs(seconds=28)
    assert child.hangs(seconds=4)


def test_an_answer_in_between_forgives_the_silence() -> None:
    child = Child()
    child.hangs(seconds=10)
    child.answer = False
    child.hangs(seconds=25)
    child.answer = True
    child.hangs(seconds=4)
    child.answer = False

    assert not child.hangs(seconds=25)


def test_one_that_is_stopped_hangs_after_three_looks() -> None:
    child = Child()
    child.hangs(seconds=10)

    assert not child.hangs(seconds=2, is_stopped=True)
    assert child.hangs(seconds=2, is_stopped=True)


def test_a_start_may_take_long() -> None:
    child = Child(start_seconds=60)
    child.answer = False

    assert not child.hangs(seconds=60)
    assert child.hangs(seconds=35)
    assert not child.watching.has_answered


def test_what_was_missed_while_the_supervisor_was_late_counts_for_nothing() -> None:
    child = Child()
    child.hangs(seconds=10)
    child.answer = False
    child.hangs(seconds=28)

    child.watching.forgive(at=child.at)

    assert not child.hangs(seconds=28)
    assert child.hangs(seconds=5)


def test_only_one_question_is_under_way() -> None:
    child = Child()
    child.hangs()
    asked = child.asked
    child.watching._question.answer = None  # type: ignore[union-attr]

    for _ in range(20):
        child.at += 1
        child.watching.hangs(at=child.at, is_stopped=False)

    assert child.asked == asked


def test_a_pulse_is_heard_once() -> None:
    pulse = Watching(Watch()).pulse
    assert pulse is not None
    for _ in range(3):
        os.write(pulse.write_end, b".")

    assert pulse.beats(seconds=0)
    assert not pulse.beats(seconds=0.01)


def test_a_pulse_that_nobody_hears_keeps_nobody_waiting() -> None:
    pulse = Watching(Watch()).pulse
    assert pulse is not None
    written = 0
    try:
        for _ in range(1000):
            written += os.write(pulse.write_end, b"." * 4096)
    except BlockingIOError:
        pass

    assert written
    assert pulse.beats(seconds=0)
    assert not pulse.beats(seconds=0)
