"""A cloud that several processes share through a folder, and that fails by chance.

What a call meets is drawn from the seed, the machine's name and how often it was asked for, so
whoever asks first meets the same. `tests.fakes.hurried` makes a worker know it.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.backends import base

FOLDER, SEED = "DSTACK_TEST_CLOUD", "DSTACK_TEST_CLOUD_SEED"
HARDWARE = base.Hardware(cpus=8, memory_mib=32768, disk_mib=102400)
REGIONS = ("north", "south", "west")
# Of a hundred calls.
CREATING = {"full": 8, "away": 8, "loses": 12, "hangs": 6, "quota": 2}
ENDING = {"away": 15, "lies": 15}
LISTING = {"away": 20}
HANGS_SECONDS = 2.5
AWAY = base.ProviderError("it did not answer within 30 s", kind=base.ErrorKind.UNREACHABLE)


class World:
    """What exists in the cloud: `machines` is ref -> name, `made` name -> how often."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "world.json"

    @contextmanager
    def held(self) -> Iterator[dict[str, Any]]:
        """The state, for one caller at a time; what is changed in it is kept."""
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.replace(self.file)

    def read(self) -> dict[str, Any]:
        empty = {"machines": {}, "made": {}, "asked": {}, "is_calm": False}
        return json.loads(self.file.read_text()) if self.file.exists() else empty

    def calm_down(self) -> None:
        """From now on every call is answered well."""
        with self.held() as state:
            state["is_calm"] = True


class Nothing(base.Config):
    """It needs nothing."""


class SharedCloud(base.Provider):
    kind = "shared-cloud"
    Config = Nothing

    @property
    def world(self) -> World:
        return World(Path(os.environ[FOLDER]))

    def fate(self, what: str, chances: dict[str, int]) -> str:
        """What this call meets; "" is nothing."""
        with self.world.held() as state:
            number = state["asked"][what] = state["asked"].get(what, 0) + 1
            is_calm = state["is_calm"]
        drawn = random.Random(f"{os.environ[SEED]} {what} {number}").random() * 100
        for name, share in chances.items():
            drawn -= share
            if drawn < 0 and not is_calm:
                return name
        return ""

    def check(self) -> list[base.Problem]:
        return []

    def offers(self) -> list[base.Offer]:
        return [
            base.Offer(self.kind, region, "big", HARDWARE, price_usd_per_hour=1.0 + number)
            for number, region in enumerate(REGIONS)
        ]

    def create(self, spec: base.InstanceSpec) -> str:
        boot = spec.boot
        fate = self.fate(f"create {boot.name}", CREATING)
        if fate == "full":
            raise base.ProviderError("no machine is free", kind=base.ErrorKind.CAPACITY)
        if fate == "quota":
            raise base.ProviderError("0 of 8 machines are left", kind=base.ErrorKind.QUOTA)
        if fate == "away":
            raise AWAY
        if fate == "hangs":
            # Longer than the lease: another worker asks for the same machine meanwhile.
            time.sleep(HANGS_SECONDS)
        with self.world.held() as state:
            known = {name: ref for ref, name in state["machines"].items()}
            ref: str = known.get(boot.name) or f"i-{sum(state['made'].values())}"
            if boot.name not in known:
                state["machines"][ref] = boot.name
                state["made"][boot.name] = state["made"].get(boot.name, 0) + 1
        if fate == "loses":
            raise AWAY
        return ref

    def inspect(self, ref: str) -> base.InstanceStatus:
        there = ref in self.world.read()["machines"]
        state = base.InstanceState.RUNNING if there else base.InstanceState.GONE
        return base.InstanceStatus(state)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        if self.fate("list", LISTING):
            raise AWAY
        return [
            base.OwnedInstance(ref, name) for ref, name in self.world.read()["machines"].items()
        ]

    def terminate(self, ref: str) -> None:
        fate = self.fate(f"end {ref}", ENDING)
        if fate == "away":
            raise AWAY
        with self.world.held() as state:
            if fate != "lies":
                state["machines"].pop(ref, None)
