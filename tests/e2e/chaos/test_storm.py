"""Many faults at random, one after the other, while people work on."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.chaos.conftest import come_to_rest
from tests.e2e.services import WHO, haproxy, replica_pids
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

STORM_SECONDS = float(os.environ.get("CHAOS_SECONDS", "30"))
PAUSE_SECONDS = 1.5
PARTS = (
    ("web", "worker-control", "worker-outside", "beat")
    + ("valkey", "postgres", "gateway", "agent", "haproxy", "replica")
)  # fmt: skip


def test_nothing_is_lost_or_doubled_in_a_storm(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", str(time.time_ns() % 1_000_000)))
    record_property("CHAOS_SEED", seed)
    chance = random.Random(seed)
    end = time.monotonic() + STORM_SECONDS
    number = 0
    while time.monotonic() < end:
        kill(stack, chance.choice(PARTS), chance)
        work(stack, chance, number)
        number += 1
        time.sleep(chance.uniform(0, PAUSE_SECONDS))

    for name in [f"storm-{each}" for each in range(number)]:
        stack.dstack("stop", name, "-y", code=None)
    come_to_rest(stack)
    assert stack.call("who", **stack.bearer()).status_code == 200


def kill(stack: Stack, part: str, chance: random.Random) -> None:
    try:
        os.kill(find(stack, part, chance), signal.SIGKILL)
    except (ProcessLookupError, LookupError, ValueError, OSError):
        return  # it is dead already


def find(stack: Stack, part: str, chance: random.Random) -> int:
    if part == "haproxy":
        return haproxy(stack)
    if part == "replica":
        return chance.choice(replica_pids(stack))
    return stack.children()[part]


def work(stack: Stack, chance: random.Random, number: int) -> None:
    """What people do meanwhile may be refused, never half done."""
    deed = chance.choice(("run", "scale", "stop", "nothing"))
    if deed == "run":
        words = ("-f", "serve.dstack.yml", "-n", f"storm-{number}", "-y", "-d")
        stack.dstack("run", ".", *words, cwd=WHO, code=None)
    elif deed == "scale":
        stack.dstack("scale", "who", str(chance.randint(1, 4)), code=None)
    elif deed == "stop":
        stack.dstack("stop", f"storm-{max(number - 1, 0)}", "-y", code=None)
