"""What is in a subscription of the fake Azure, and what can go wrong there.

Regions, sizes, quotas and prices are few, and written after Azure's lists of 2026; how it acts and
in which time is written after its documentation, and was never held against Azure itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import azure_prices

SUBSCRIPTION = "6c0fb5e0-3b5a-4a3c-9a53-2d2f0f0d9a01"
TENANT = "0f1d9a55-20c1-4c6e-8a0f-5e3c7f0b1c02"
CONFIG: dict[str, Any] = {
    "creds": {
        "type": "client",
        "client_id": "4a6e4b5c-9d10-4f1e-b1a2-6f5d4c3b2a03",
        "client_secret": "Q2x~an-invented-secret-of-nothing-at-all",
    },
    "tenant_id": TENANT,
    "subscription_id": SUBSCRIPTION,
    "regions": ["westus2", "westeurope"],
}
REGIONS = {"westus2": "West US 2", "westus3": "West US 3", "westeurope": "West Europe"}
# Name: vCPUs, GB, architecture, GPUs, whether it may be spot, family, generations of images.
SIZES: dict[str, tuple[int, str, str, int, bool, str, str]] = {
    "Standard_D2s_v5": (2, "8", "x64", 0, True, "standardDSv5Family", "V1,V2"),
    "Standard_D4s_v5": (4, "16", "x64", 0, True, "standardDSv5Family", "V1,V2"),
    "Standard_D2ps_v6": (2, "8", "Arm64", 0, True, "standardDPSv6Family", "V2"),
    "Standard_B2s": (2, "4", "x64", 0, False, "standardBSFamily", "V1,V2"),
    "Standard_A2_v2": (2, "4", "x64", 0, True, "standardAv2Family", "V1"),
    "Standard_NC24ads_A100_v4": (24, "220", "x64", 1, True, "StandardNCADSA100v4Family", "V2"),
    "Standard_NC4as_T4_v3": (4, "28", "x64", 1, True, "Standard NCASv3_T4 Family", "V1,V2"),
    "Standard_NV36ads_A10_v5": (36, "440", "x64", 1, True, "StandardNVADSA10v5Family", "V2"),
}
IMAGES = {
    ("Canonical", "ubuntu-24_04-lts", "server"): ("x64", 30),
    ("Canonical", "ubuntu-24_04-lts", "server-arm64"): ("Arm64", 30),
    ("microsoft-dsvm", "ubuntu-hpc", "2204"): ("x64", 64),
}
# What Azure says with some of its codes, as others have reported it.
SENTENCES = {
    "OperationNotAllowed": "Operation could not be completed as it results in exceeding approved "
    "standardDSv5Family Cores quota. Additional details - Deployment Model: Resource Manager, "
    "Location: westus2, Current Limit: 0, Current Usage: 0, Additional Required: 2.",
    "QuotaExceeded": "The operation results in exceeding approved quota.",
    "AllocationFailed": "Allocation failed. We do not have sufficient capacity for the requested "
    "VM size in this region.",
    "SkuNotAvailable": "The requested VM size for resource 'Following SKUs have failed for "
    "Capacity Restrictions: Standard_D2s_v5' is currently not available in location 'westus2'.",
}


@dataclass
class Faults:
    """`full` are (size, region) whose making fails after it was accepted, with AllocationFailed;
    `refused` are codes by call ("PUT virtualMachines"), `throttled` the next calls that are.

    `lost` makes the next machines and answers 503; `seconds` is how long an operation takes, in the
    time of the world; `hangs` holds all answers back until it is set; `denied` are actions that the
    credentials lack, `quotas` vCPUs by region, `is_away` answers nothing. `state` is that of the
    subscription, `conditions` are the If-None-Match of machines that were asked for.
    Where there is a `chance`, calls meet what `fates` has for them, each of a hundred so often.
    """

    full: set[tuple[str, str]] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    throttled: int = 0
    lost: int = 0
    seconds: float = 0.0
    hangs: threading.Event | None = None
    is_away: bool = False
    denied: set[str] = field(default_factory=set)
    quotas: dict[str, int] = field(default_factory=dict)
    state: str = "Enabled"
    unregistered: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    made: list[dict[str, Any]] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    chance: random.Random | None = None
    fates: dict[str, dict[str, int]] = field(default_factory=dict)

    def fate(self, call: str) -> str:
        """Return what a call meets, "" for nothing."""
        drawn = self.chance.random() * 100 if self.chance else 100.0
        for name, share in self.fates.get(call, {}).items():
            drawn -= share
            if drawn < 0:
                return name
        return ""


@dataclass
class Operation:
    """`ends` is called once, when it is over; an `error` was known from its begin."""

    row: dict[str, Any]
    over_at: float
    ends: Callable[[], object]
    error: dict[str, Any] | None = None


@dataclass
class World:
    """All resources by their ids in small letters, and what became of operations."""

    url: str = ""
    faults: Faults = field(default_factory=Faults)
    lock: threading.RLock = field(default_factory=threading.RLock)
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    consoles: dict[str, str] = field(default_factory=dict)
    prices: azure_prices.PriceList = field(default_factory=azure_prices.PriceList)
    count: int = 0
    passed: float = 0.0

    def clear(self) -> None:
        with self.lock:
            if self.faults.hangs is not None:
                self.faults.hangs.set()
            self.faults, self.count, self.passed = Faults(), 0, 0.0
            self.prices.rows, self.prices.answers = [], []
            for kept in (self.resources, self.operations, self.consoles):
                kept.clear()

    def now(self) -> float:
        return time.monotonic() + self.passed

    def pass_time(self, seconds: float) -> None:
        """Let time pass for Azure alone."""
        with self.lock:
            self.passed += seconds
            self.settle()

    def settle(self) -> None:
        """End the operations whose time has come."""
        for operation in list(self.operations.values()):
            row = operation.row
            if row["status"] == "InProgress" and self.now() >= operation.over_at:
                row["status"] = "Failed" if operation.error else "Succeeded"
                row |= {"error": operation.error} if operation.error else {}
                operation.ends()

    def number(self) -> int:
        self.count += 1
        return self.count

    def machines(self) -> dict[str, dict[str, Any]]:
        """Return the machines that there are, by name."""
        kept = {key: row for key, row in self.resources.items() if "/virtualmachines/" in key}
        return {row["name"]: row for row in kept.values()}

    def kinds(self) -> Counter[str]:
        """Return how many resources there are of each kind."""
        return Counter(str(row["type"]).rpartition("/")[2] for row in self.resources.values())

    def vanish(self, name: str) -> None:
        """Have somebody else delete a machine, or Azure, which wants a spot machine back."""
        with self.lock:
            remove(self, self.machines()[name])

    def switch_off(self, name: str, *, console: str = "") -> None:
        """Have a machine shut itself down: it stays, and costs money."""
        with self.lock:
            self.machines()[name]["power"] = "stopped"
            self.consoles[name] = console


def remove(world: World, row: dict[str, Any]) -> None:
    """Remove a machine with all that has its delete option."""
    for resource_id in [row["id"], *row["parts"]]:
        world.resources.pop(resource_id.lower(), None)
