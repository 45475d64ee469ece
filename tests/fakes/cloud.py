"""A cloud in memory that can do to us what clouds do: refuse, hang, lose answers, lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from apps.backends import base

HARDWARE = base.Hardware(cpus=8, memory_mib=32768, disk_mib=102400)


@dataclass
class World:
    """`machines` are those that exist, ref -> name; `calls` counts what was asked. The faults:

    `on_create` may raise instead of making a machine; `loses_answers` makes the machine and says
    that it did not answer; `ends_nothing` says that a machine is ended which is not; `is_away`
    answers nothing at all.
    """

    machines: dict[str, str] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)
    on_create: Callable[[base.Offer], None] = lambda offer: None
    loses_answers: int = 0
    ends_nothing: bool = False
    is_away: bool = False
    regions: tuple[str, ...] = ("north",)

    def answer(self) -> None:
        if self.is_away:
            raise base.BackendUnreachable("cloud did not answer within 30 s")


class CloudConfig(base.Config):
    """It needs nothing."""


class Cloud(base.Backend):
    kind = "cloud"
    Config = CloudConfig
    world: ClassVar[World] = World()

    def check(self) -> None:
        self.world.answer()

    def offers(self) -> list[base.Offer]:
        self.world.answer()
        return [
            base.Offer("cloud", region, "big", HARDWARE, price_usd_per_hour=1.0 + number)
            for number, region in enumerate(self.world.regions)
        ]

    def create(self, offer: base.Offer, boot: base.Boot) -> str:
        self.world.answer()
        known = {name: ref for ref, name in self.world.machines.items()}
        if boot.name in known:
            return known[boot.name]
        self.world.on_create(offer)
        ref = f"i-{len(self.world.made)}"
        self.world.machines[ref] = boot.name
        self.world.made[boot.name] += 1
        if self.world.loses_answers:
            self.world.loses_answers -= 1
            raise base.BackendUnreachable("cloud did not answer within 30 s")
        return ref

    def inspect(self, ref: str) -> base.Sighting | None:
        return base.Sighting(alive=True) if ref in self.world.machines else None

    def list_owned(self) -> list[base.Owned]:
        self.world.answer()
        return [base.Owned(ref, name) for ref, name in self.world.machines.items()]

    def terminate(self, ref: str) -> None:
        self.world.answer()
        if not self.world.ends_nothing:
            self.world.machines.pop(ref, None)
