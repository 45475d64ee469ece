from __future__ import annotations

import threading

import pytest

from apps.accounts.hashers import Turns
from apps.core.errors import TooManyRequests

CALLERS = 40


def test_lets_few_in_at_once_and_refuses_who_finds_no_room() -> None:
    turns = Turns(at_once=2, waiting=3, patience_seconds=10)
    inside, most, refused = 0, 0, 0
    lock, go = threading.Lock(), threading.Event()

    def call() -> None:
        nonlocal inside, most, refused
        try:
            with turns.take():
                with lock:
                    inside += 1
                    most = max(most, inside)
                go.wait(10)
                with lock:
                    inside -= 1
        except TooManyRequests:
            with lock:
                refused += 1
                if refused == CALLERS - 5:
                    go.set()

    threads = [threading.Thread(target=call) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (most, refused) == (2, CALLERS - 5)


def test_refuses_who_waited_too_long_and_gives_the_room_back() -> None:
    turns = Turns(at_once=1, waiting=1, patience_seconds=0)

    with turns.take(), pytest.raises(TooManyRequests), turns.take():
        pass

    with turns.take():
        pass


def test_gives_the_turn_back_after_an_error() -> None:
    turns = Turns(at_once=1, waiting=0, patience_seconds=0)
    with pytest.raises(ValueError), turns.take():
        raise ValueError

    with turns.take():
        pass
