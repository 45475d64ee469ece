"""Whatever is killed with -9 comes back by itself, and the service goes on answering.

The service is under a constant load of 50 requests a second while one process of the server dies.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e import stack as stacks
from tests.e2e.load import PER_SECOND, Load
from tests.e2e.services import (
    haproxy,
    processes_running,
    publish,
    publish_and_stop,
    the_run,
    who_answers,
)
from tests.e2e.stack import Stack, eventually
from tests.e2e.traces import processes_of

PARTS = (
    ("web", "front", "worker-control", "worker-outside", "beat")
    + ("valkey", "postgres", "gateway", "agent")
)  # fmt: skip
BACK_SECONDS = 30.0
# HAProxy carries the requests itself: without it there is a gap, which must stay short.
LONGEST_GAP_SECONDS = 1.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = stacks.new(tmp_path_factory.mktemp("kills"))
    publish(running, "who")
    yield running
    if running.is_alive():
        running.stop()


@pytest.fixture
def load(stack: Stack) -> Iterator[Load]:
    """The constant load, begun a moment ago, on a service that answered well so far."""
    headers = {"Host": f"who.localhost:{stack.gateway_port}", **stack.bearer()}
    with Load(f"http://127.0.0.1:{stack.gateway_port}/", headers) as running:
        eventually(lambda: len(running.answers) > PER_SECOND, what="a second of load")
        assert not running.failed
        yield running


@pytest.mark.parametrize("part", PARTS)
def test_no_request_fails_and_new_runs_work_when_it_is_killed(
    stack: Stack, load: Load, part: str
) -> None:
    replica, before = who_answers(stack), stack.children()

    os.kill(before[part], signal.SIGKILL)

    others_stay = {name: pid for name, pid in before.items() if name != part}
    eventually(lambda: stack.children().get(part) not in (None, before[part]), seconds=BACK_SECONDS)
    eventually(lambda: stacks.answers(f"{stack.url}/readyz"), seconds=BACK_SECONDS)
    publish_and_stop(stack, f"after-{part}")
    assert others_stay.items() <= stack.children().items()
    assert not load.failed
    assert who_answers(stack) == replica
    assert the_run(stack) == ("running", [(0, "running")])


def test_no_request_fails_while_all_but_the_gateway_start_anew(stack: Stack, load: Load) -> None:
    replica, before = who_answers(stack), stack.children()
    others = [part for part in PARTS if part != "gateway"]

    for part in others:
        os.kill(before[part], signal.SIGKILL)

    for part in others:
        eventually(partial(is_another, stack, part, before[part]), seconds=BACK_SECONDS, what=part)
    eventually(lambda: stacks.answers(f"{stack.url}/readyz"), seconds=BACK_SECONDS)
    publish_and_stop(stack, "after-all-others")
    assert not load.failed
    assert who_answers(stack) == replica


def is_another(stack: Stack, part: str, pid: int) -> bool:
    return stack.children().get(part) not in (None, pid)


def test_haproxy_is_back_within_a_second_when_it_is_killed(stack: Stack, load: Load) -> None:
    replica, at = who_answers(stack), time.monotonic()

    os.kill(haproxy(stack), signal.SIGKILL)

    eventually(lambda: load.good_since(at + LONGEST_GAP_SECONDS) > PER_SECOND, seconds=BACK_SECONDS)
    late = [answer for answer in load.failed if answer.at > at + LONGEST_GAP_SECONDS]
    assert load.failed, "it was not HAProxy that was killed"
    assert not late
    publish_and_stop(stack, "after-haproxy")
    assert who_answers(stack) == replica


def test_the_next_start_takes_over_when_the_supervisor_is_killed(stack: Stack) -> None:
    replica, before = who_answers(stack), processes_running(stack, "who.py")

    stack.kill()
    stack.start()

    eventually(lambda: who_answers(stack), seconds=BACK_SECONDS)
    publish_and_stop(stack, "after-the-supervisor")
    assert who_answers(stack) == replica
    assert the_run(stack) == ("running", [(0, "running")])
    assert processes_running(stack, "who.py") == before


def test_stops_the_replicas_of_an_agent_that_has_just_died(stack: Stack) -> None:
    replica = who_answers(stack)
    assert stack.process is not None
    stack.process.send_signal(signal.SIGSTOP)  # so that it sees the end and the request at once
    os.kill(stack.children()["agent"], signal.SIGKILL)
    stack.process.send_signal(signal.SIGTERM)

    assert stack.stop(with_signal=signal.SIGCONT) == 0

    assert processes_of(stack.home) == []
    stack.start()
    eventually(lambda: who_answers(stack), seconds=BACK_SECONDS)
    assert who_answers(stack) != replica
    assert the_run(stack)[0] == "running"


def test_stops_with_all_it_started_and_comes_back_with_its_state(stack: Stack) -> None:
    replica, token = who_answers(stack), stack.token
    assert processes_running(stack, "who.py")

    assert stack.stop() == 0
    assert processes_of(stack.home) == []

    stack.start()
    eventually(lambda: who_answers(stack), seconds=BACK_SECONDS)
    assert stack.token == token
    assert who_answers(stack) != replica  # a new process for the one that was stopped
    assert the_run(stack)[0] == "running"
