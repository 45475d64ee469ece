"""One server for the whole suite, so that each fault meets what the one before left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import stack as stacks
from tests.e2e.chaos.invariants import broken
from tests.e2e.load import PER_SECOND, Load
from tests.e2e.services import publish, replica_pids
from tests.e2e.stack import Stack, eventually

REPLICAS = 3
REST_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A server with the service `who` of three replicas; afterwards nothing of it is left."""
    running = stacks.new(tmp_path_factory.mktemp("chaos"))
    publish(running, "who")
    running.dstack("scale", "who", str(REPLICAS))
    come_to_rest(running)
    yield running
    if running.is_alive():
        running.stop()


@pytest.fixture
def load(stack: Stack) -> Iterator[Load]:
    """50 requests a second, begun a moment ago."""
    headers = {"Host": f"who.localhost:{stack.gateway_port}", **stack.bearer()}
    with Load(f"http://127.0.0.1:{stack.gateway_port}/", headers) as running:
        eventually(lambda: len(running.answers) > PER_SECOND, what="a second of load")
        assert not running.failed
        yield running


def come_to_rest(stack: Stack) -> None:
    """Wait until all is as it should be, and see that no rule was broken."""
    eventually(lambda: is_at_rest(stack), seconds=REST_SECONDS, every=0.5, what="rest")
    assert broken(stack, at_rest=True) == {}
    assert len(replica_pids(stack)) == live(stack)


def is_at_rest(stack: Stack) -> bool:
    if not stacks.answers(f"{stack.url}/readyz"):
        return False
    return broken(stack, at_rest=True) == {} and len(replica_pids(stack)) == live(stack)


def live(stack: Stack) -> int:
    runs = stack.api("GET", "/projects/main/runs")["items"]
    return sum(run["replicas_wanted"] for run in runs if run["state"] not in ("stopped", "failed"))
