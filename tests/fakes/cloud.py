"""A cloud in memory that can do to us what clouds do: refuse, hang, lose answers, lie."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from apps.backends import base

HARDWARE = base.Hardware(cpus=8, memory_mib=32768, disk_mib=102400)
AWAY = base.ProviderError(
    "cloud did not answer within 30 s", kind=base.ErrorKind.UNREACHABLE, scope=base.Scope.BACKEND
)


@dataclass
class World:
    """`machines` exist, ref -> name; `owners` and `tags` are what they carry. The faults:

    `on_create` may raise instead of making a machine; `loses_answers` makes the machine and says
    that it did not answer; `ends_nothing` says that a machine is ended which is not; `is_away`
    answers nothing at all, `hangs` holds each answer back until it is set, `refused` are errors by
    method; `states` are of machines that do not run, `ends_slowly` how often one is still there
    after its end was asked for. Regions in `spot` have spot machines too, at two fifths of the
    price, or at that of `spot_usd`; `zones` are theirs. `markets` are the region, zone and instance
    of each machine, by reference, and `take_market` announces the end of all of one.
    `specs` are the machines that were asked for. `take_back` ends one
    without a word, `announce` says before that it will. `addresses` are reserved, by reference;
    `attached` says which machine has one. Regions in `tidied` were told to give back the rest.
    """

    machines: dict[str, str] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    owners: dict[str, str] = field(default_factory=dict)
    tags: dict[str, Mapping[str, str]] = field(default_factory=dict)
    on_create: Callable[[base.Offer], None] = lambda offer: None
    loses_answers: int = 0
    ends_nothing: bool = False
    is_away: bool = False
    hangs: threading.Event | None = None
    refused: dict[str, base.ProviderError] = field(default_factory=dict)
    states: dict[str, base.InstanceStatus] = field(default_factory=dict)
    ends_slowly: int = 0
    inspected: Counter[str] = field(default_factory=Counter)
    ref_length: int = 0
    regions: tuple[str, ...] = ("north",)
    spot: tuple[str, ...] = ()
    spot_usd: Mapping[str, float] = field(default_factory=dict)
    zones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    markets: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    specs: list[base.InstanceSpec] = field(default_factory=list)
    addresses: dict[str, base.Address] = field(default_factory=dict)
    address_owners: dict[str, str] = field(default_factory=dict)
    attached: dict[str, str] = field(default_factory=dict)
    tidied: list[str] = field(default_factory=list)

    def answer(self, asked: str = "") -> None:
        if self.hangs is not None:
            self.hangs.wait(timeout=30)
        if self.is_away:
            raise AWAY
        if asked in self.refused:
            raise self.refused[asked]

    def announce(self, ref: str) -> None:
        self.states[ref] = base.InstanceStatus(base.InstanceState.RUNNING, spot_notice=True)

    def take_market(self, market: tuple[str, str, str]) -> list[str]:
        taken = [ref for ref in self.machines if self.markets[ref] == market]
        for ref in taken:
            self.announce(ref)
        return taken

    def take_back(self, ref: str) -> None:
        self.states.pop(ref, None)
        del self.machines[ref]


class CloudConfig(base.Config):
    """It needs nothing."""


class Cloud(base.Provider):
    kind = "cloud"
    features = frozenset({base.Feature.STATIC_ADDRESS})
    Config = CloudConfig
    world: ClassVar[World] = World()

    def check(self) -> list[base.Problem]:
        self.world.answer("check")
        return []

    def offers(self) -> list[base.Offer]:
        self.world.answer("offers")
        zones = self.world.zones
        return [
            base.Offer("cloud", region, "big", HARDWARE, price, spot, zones=zones.get(region, ()))
            for number, region in enumerate(self.world.regions)
            for spot, price in (
                (False, 1.0 + number),
                (True, self.world.spot_usd.get(region, 0.4 + 0.4 * number)),
            )
            if not spot or region in self.world.spot
        ]

    def create(self, spec: base.InstanceSpec) -> str:
        boot = spec.boot
        self.world.answer("create")
        known = {name: ref for ref, name in self.world.machines.items()}
        if boot.name in known:
            return known[boot.name]
        self.world.specs.append(spec)
        self.world.on_create(spec.offer)
        ref = f"i-{len(self.world.made)}".ljust(self.world.ref_length, "0")
        self.world.machines[ref] = boot.name
        self.world.made[boot.name] += 1
        zone = next(iter(spec.zones), "")
        self.world.markets[ref] = (spec.offer.region, zone, spec.offer.instance)
        self.world.owners[ref], self.world.tags[ref] = spec.server_id, spec.tags
        if self.world.loses_answers:
            self.world.loses_answers -= 1
            raise AWAY
        return ref

    def inspect(self, ref: str) -> base.InstanceStatus:
        self.world.answer("inspect")
        self.world.inspected[ref] += 1
        if ref not in self.world.machines:
            return base.InstanceStatus(base.InstanceState.GONE)
        _, zone, _ = self.world.markets.get(ref, ("", "", ""))
        running = base.InstanceStatus(base.InstanceState.RUNNING, zone=zone)
        return self.world.states.get(ref, running)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        self.world.answer("list_owned")
        return [
            base.OwnedInstance(ref, name, self.world.tags[ref])
            for ref, name in self.world.machines.items()
            if self.world.owners.get(ref) == server_id
        ]

    def terminate(self, ref: str) -> None:
        self.world.answer("terminate")
        if self.world.ends_slowly:
            self.world.ends_slowly -= 1
        elif not self.world.ends_nothing:
            self.world.machines.pop(ref, None)

    def reserve_address(self, region: str, name: str, *, server_id: str) -> base.Address:
        self.world.answer("reserve_address")
        ref = f"{region}/{server_id}/{name}"
        number = len(self.world.address_owners) + 1
        made = base.Address(ref=ref, ip=f"203.0.113.{number}", name=name)
        self.world.address_owners[ref] = server_id
        return self.world.addresses.setdefault(ref, made)

    def attach_address(self, ref: str, address: base.Address) -> None:
        self.world.answer("attach_address")
        self.world.attached[address.ref] = ref

    def release_address(self, address: base.Address) -> None:
        self.world.answer("release_address")
        self.world.addresses.pop(address.ref, None)
        self.world.attached.pop(address.ref, None)

    def list_addresses(self, server_id: str) -> list[base.Address]:
        self.world.answer("list_addresses")
        owners = self.world.address_owners
        return [each for ref, each in self.world.addresses.items() if owners[ref] == server_id]

    def tidy(self, region: str) -> None:
        self.world.answer("tidy")
        self.world.tidied.append(region)
