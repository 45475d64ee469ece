"""Google's fake as the cloud of P20: several workers call it, and it fails by chance."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pytest

from apps.backends import base
from apps.backends import services as backends
from tests.fakes.gcp_keys import CONFIG
from tests.fakes.gcp_world import World
from tests.integration.runs.test_crowd import Crowd

ZONES = tuple(f"us-central1-{letter}" for letter in "abcf")
HARDWARE = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
OFFERS = [
    base.Offer("gcp", "us-central1", name, HARDWARE, 0.1, kind="gcp", zones=ZONES)
    for name in ("e2-standard-2", "n2-standard-4", "n1-standard-4")
]
TWICE_SECONDS = 8.0
# Of a hundred calls.
FATES = {
    "compute.instances.insert": {"full": 15, "away": 6, "loses": 10, "hangs": 4},
    "compute.instances.delete": {"away": 10, "loses": 5},
    "compute.instances.aggregatedList": {"away": 8},
    "compute.zoneOperations.get": {"away": 5},
}


class Google:
    """What `tests.fakes.shared_cloud.World` says of its cloud, of this one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.twice: dict[str, float] = {}
        self.doubled: set[str] = set()
        world.faults.seconds, world.faults.chance = 0.2, random.Random(20)
        world.faults.fates = FATES

    def read(self) -> dict[str, Any]:
        with self.world.lock:
            self.world.settle()
            names = self._names()
            made = Counter(str(each["name"]) for each in self.world.faults.made)
        return {"machines": dict(enumerate(names)), "made": made, "is_calm": False}

    def _names(self) -> list[str]:
        """Return what exists and is not about to fail; two of a name have some seconds, in which
        whoever made the second ends it."""
        operations = self.world.operations.values()
        failing = {each.row["targetLink"] for each in operations if each.error}
        rows = self.world.instances
        there = Counter(name for (_, name), row in rows.items() if row["selfLink"] not in failing)
        now = time.monotonic()
        twice = [name for name, count in there.items() if count > 1]
        self.twice = {name: self.twice.get(name, now) for name in twice}
        self.doubled.update(twice)
        late = [name for name, since in self.twice.items() if now - since > TWICE_SECONDS]
        return [*there, *late]

    def calm_down(self) -> None:
        self.world.faults.fates = {}


def connected(crowd: Crowd, request: pytest.FixtureRequest) -> list[base.Offer]:
    """Let the crowd's project have this cloud in place of the shared one; return its offers."""
    world: Any = Google(request.getfixturevalue("gcp_server"))
    crowd.project.backends.all().delete()
    backends.connect(project=crowd.project, kind="gcp", config=CONFIG)
    crowd.world = world
    return OFFERS
