"""Azure's fake as the cloud of P20: several workers call it, and it fails by chance."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from apps.backends import base
from apps.backends import services as backends
from tests.fakes.azure_world import CONFIG, World
from tests.integration.runs.test_crowd import Crowd

HARDWARE = base.Hardware(cpus=2, memory_mib=8192, disk_mib=102400)
OFFERS = [
    base.Offer("azure", region, name, HARDWARE, 0.1, kind="azure")
    for region in ("westus2", "westeurope")
    for name in ("Standard_D2s_v5", "Standard_D4s_v5")
]
# Of a hundred calls.
FATES = {
    "PUT virtualMachines": {"full": 15, "away": 6, "loses": 10},
    "GET virtualMachines": {"away": 5},
    "GET operations": {"away": 5},
    "DELETE virtualMachines": {"away": 10, "loses": 5},
}


class Azure:
    """What `tests.fakes.shared_cloud.World` says of its cloud, of this one."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.faults.seconds, world.faults.chance = 0.2, random.Random(20)
        world.faults.fates = FATES

    def read(self) -> dict[str, Any]:
        with self.world.lock:
            self.world.settle()
            names = list(self.world.machines())
            made = Counter(str(each["name"]) for each in self.world.faults.made)
            parts = sum(self.world.kinds()[kind] for kind in ("disks", "networkInterfaces"))
        # A part that stayed when its machine went would cost money, and is one too many.
        assert parts == 2 * len(names), "a part of a machine was left"
        return {"machines": dict(enumerate(names)), "made": made, "is_calm": False}

    def calm_down(self) -> None:
        self.world.faults.fates = {}


def connected(crowd: Crowd, request: pytest.FixtureRequest) -> list[base.Offer]:
    """Let the crowd's project have this cloud in place of the shared one; return its offers."""
    world: Any = Azure(request.getfixturevalue("azure_server"))
    crowd.project.backends.all().delete()
    backends.connect(project=crowd.project, kind="azure", config=CONFIG)
    crowd.world = world
    return OFFERS
