"""What is in a project of the fake Google Cloud, and what can go wrong there.

The zones, types, cards and prices are few, and written after Google's lists of 2026; how it acts
and in which time is written after its documentation, and was never held against Google itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PROJECT = "dstack-test-1"
ZONES = {
    "us-central1": ("us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"),
    "us-east1": ("us-east1-b", "us-east1-c", "us-east1-d"),
    "europe-west4": ("europe-west4-a", "europe-west4-b"),
}
# Name: CPUs, MiB, architecture, card, its count, partitions of local SSD.
TYPES: dict[str, tuple[int, int, str, str, int, int]] = {
    "e2-micro": (2, 1024, "X86_64", "", 0, 0),
    "e2-standard-2": (2, 8192, "X86_64", "", 0, 0),
    "n1-standard-4": (4, 15360, "X86_64", "", 0, 0),
    "n2-standard-4": (4, 16384, "X86_64", "", 0, 0),
    "c4-standard-4": (4, 15360, "X86_64", "", 0, 0),
    "t2a-standard-2": (2, 8192, "ARM64", "", 0, 0),
    "g2-standard-4": (4, 16384, "X86_64", "nvidia-l4", 1, 0),
    "a2-highgpu-1g": (12, 87040, "X86_64", "nvidia-tesla-a100", 1, 0),
    "a3-highgpu-8g": (208, 1916928, "X86_64", "nvidia-h100-80gb", 8, 16),
}
FAMILIES = {
    ("ubuntu-os-cloud", "ubuntu-2404-lts-amd64"): 10,
    ("ubuntu-os-cloud", "ubuntu-2404-lts-arm64"): 10,
    ("ubuntu-os-accelerator-images", "ubuntu-accelerator-2404-amd64-with-nvidia-580"): 20,
}
HYPERDISK_ONLY = ("c4-",)
# Errors that operations end with; all others refuse the call itself.
CAPACITY = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"


@dataclass
class Faults:
    """`full` are (type, zone) without room, `refused` codes by method ("compute.instances.insert").

    `lost` makes the next machines and answers 503; `seconds` is how long an operation takes, and
    while `unseen` no machine is seen before that of its making is done; `hangs` holds all answers
    back until it is set; `unreachable` are zones of which no list tells; `denied` are permissions
    that the credentials lack; `quotas` are limits by (region, metric), `is_away` answers nothing.
    Where there is a `chance`, calls by method meet what `fates` has, each of a hundred so often.
    """

    full: set[tuple[str, str]] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    seconds: float = 0.0
    unseen: bool = False
    hangs: threading.Event | None = None
    is_away: bool = False
    unreachable: set[str] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    quotas: dict[tuple[str, str], float] = field(default_factory=dict)
    skus: list[dict[str, Any]] = field(default_factory=list)
    chance: random.Random | None = None
    fates: dict[str, dict[str, int]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    made: list[dict[str, Any]] = field(default_factory=list)

    def fate(self, method: str) -> str:
        """Return what a call meets, "" for nothing."""
        drawn = self.chance.random() * 100 if self.chance else 100.0
        for name, share in self.fates.get(method, {}).items():
            drawn -= share
            if drawn < 0:
                return name
        return ""


@dataclass
class Operation:
    """`ends` is called once with its row, when it is over; an `error` was known from its begin."""

    row: dict[str, Any]
    over_at: float
    ends: Callable[[], object]
    error: dict[str, Any] | None = None


@dataclass
class World:
    """Everything that one project has. Whoever changes it holds the lock."""

    url: str = ""
    faults: Faults = field(default_factory=Faults)
    lock: threading.RLock = field(default_factory=threading.RLock)
    instances: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    consoles: dict[str, str] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    firewalls: dict[str, dict[str, Any]] = field(default_factory=dict)
    addresses: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    requests: dict[tuple[str, str], str] = field(default_factory=dict)
    count: int = 0

    def clear(self) -> None:
        """Forget all machines and faults; a network of the same name has to be made again."""
        with self.lock:
            if self.faults.hangs is not None:
                self.faults.hangs.set()
            self.faults, self.count = Faults(), 0
            for kept in (self.instances, self.networks, self.firewalls, self.addresses):
                kept.clear()
            self.operations.clear()
            self.requests.clear()
            self.consoles.clear()

    def number(self) -> int:
        self.count += 1
        return 4_000_000_000_000_000_000 + self.count

    def link(self, *words: str) -> str:
        path = "/".join(words)
        return f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/{path}"

    def settle(self) -> None:
        """End the operations whose time has come."""
        for operation in list(self.operations.values()):
            row = operation.row
            if row["status"] != "DONE" and time.monotonic() >= operation.over_at:
                row |= {"status": "DONE", "progress": 100, "endTime": stamp()}
                row |= operation.error or {}
                operation.ends()

    def take_back(self, name: str, *, console: str = "") -> None:
        """Stop a machine as the cloud does with one that it wants back."""
        with self.lock:
            for (_, each), row in self.instances.items():
                if each == name:
                    row["status"] = "STOPPING"
                    self.consoles[name] = console

    def vanish(self, name: str) -> None:
        """Have somebody else delete a machine."""
        with self.lock:
            for key in [key for key in self.instances if key[1] == name]:
                del self.instances[key]


def stamp() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{now % 1 * 1000:03.0f}-00:00"
