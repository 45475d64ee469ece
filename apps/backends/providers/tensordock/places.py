"""What TensorDock's locations have: the offers of a country, and where to ask for one. Pure.

CPUs and memory are chosen freely there, so that each GPU comes in a few sizes. A region is a
country, a zone a city of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.backends import cards
from apps.backends.base import Gpu, Hardware, Offer
from apps.backends.providers.tensordock.client import first, id_of

# With each GPU, in the least of the sizes; as much memory as the GPU has, but no less than this.
CPUS, LEAST_RAM_GB = 10, 16
SIZES = (1, 2, 4)
# TensorDock takes CPUs by two, memory by 8 GB, disks by 50 GB from 100 GB on.
CPU_STEP, RAM_STEP_GB, DISK_STEP_GB, LEAST_DISK_GB = 2, 8, 50, 100
MOST_GPUS = 16
_NAME = re.compile(r"([\w.+-]{1,64}?)-(\d{1,2})x-(\d{1,4})cpu-(\d{1,5})gb", re.ASCII)
_V0_NAME = re.compile(r"[\w.+-]{1,64}", re.ASCII)
_GB = re.compile(r"(\d{1,4}) ?gb", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """GPUs of one kind at one location, with their prices an hour in dollars."""

    location: str
    region: str
    zone: str
    v0_name: str
    gpu_name: str
    gpu_memory_gb: int
    most_gpus: int
    most_cpus: int
    most_ram_gb: int
    usd_gpu: float
    usd_cpu: float
    usd_ram_gb: float
    usd_disk_gb: float
    has_dedicated_ip: bool
    has_ports: bool

    def price(self, size: Size) -> float:
        """Return what it costs an hour with the least disk."""
        parts = (
            size.gpus * self.usd_gpu,
            size.cpus * self.usd_cpu,
            size.ram_gb * self.usd_ram_gb,
            LEAST_DISK_GB * self.usd_disk_gb,
        )
        return round(sum(parts), 6)

    def holds(self, size: Size) -> bool:
        return (
            self.v0_name == size.v0_name
            and size.gpus <= self.most_gpus
            and size.cpus <= self.most_cpus
            and size.ram_gb <= self.most_ram_gb
        )


@dataclass(frozen=True)
class Size:
    """How much is asked for. Its text is the name of the instance."""

    v0_name: str
    gpus: int
    cpus: int
    ram_gb: int

    def __str__(self) -> str:
        return f"{self.v0_name}-{self.gpus}x-{self.cpus}cpu-{self.ram_gb}gb"

    @classmethod
    def read(cls, name: str) -> Size | None:
        found = _NAME.fullmatch(name)
        return cls(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


def places(locations: Iterable[Mapping[str, Any]]) -> list[Place]:
    """Return those that can be understood; of the others nothing is offered."""
    return [
        place
        for location in locations
        for row in _rows(location.get("gpus"))
        if (place := _place(location, row)) is not None
    ]


def offers(found: Sequence[Place], region: str) -> Iterator[Offer]:
    """Return what a country has: of each size the least price, with the cities that have it."""
    here = [place for place in found if place.region == region]
    sizes = dict.fromkeys(size for place in here for size in _sizes(place))
    for size in sizes:
        those = [place for place in here if place.holds(size)]
        price = min(place.price(size) for place in those)
        cheapest = [place for place in those if place.price(size) == price]
        yield _offer(size, cheapest, price)


def candidates(
    found: Sequence[Place], size: Size, offer: Offer, zones: Sequence[str]
) -> list[Place]:
    """Return where to ask for it, at no higher price than was offered: in the order of `zones`."""
    fitting = [
        place
        for place in found
        if place.region == offer.region
        and place.holds(size)
        and place.price(size) <= offer.price_usd_per_hour + 1e-6
        and (not zones or place.zone in zones)
    ]
    order = {zone: number for number, zone in enumerate(zones)}
    return sorted(
        fitting, key=lambda place: (order.get(place.zone, 0), place.price(size), place.location)
    )


def _offer(size: Size, cheapest: Sequence[Place], price: float) -> Offer:
    place = cheapest[0]
    gpu = Gpu(place.gpu_name, place.gpu_memory_gb * 1024, size.gpus)
    hardware = Hardware(size.cpus, size.ram_gb * 1024, LEAST_DISK_GB * 1024, gpu)
    zones = tuple(sorted({each.zone for each in cheapest}))
    return Offer(
        "tensordock", place.region, str(size), hardware, price, kind="tensordock", zones=zones
    )


def _sizes(place: Place) -> Iterator[Size]:
    """Return the sizes that fit there; the least is cut down to what there is."""
    most_cpus = place.most_cpus - place.most_cpus % CPU_STEP
    most_ram = place.most_ram_gb - place.most_ram_gb % RAM_STEP_GB
    ram = max(place.gpu_memory_gb, LEAST_RAM_GB)
    ram += -ram % RAM_STEP_GB
    for gpus in range(1, min(place.most_gpus, MOST_GPUS) + 1):
        for factor in SIZES:
            cpus, memory = CPUS * gpus * factor, ram * gpus * factor
            if factor == 1:
                cpus, memory = min(cpus, most_cpus), min(memory, most_ram)
            size = Size(place.v0_name, gpus, cpus, memory)
            if cpus and memory and place.holds(size):
                yield size


def _place(location: Mapping[str, Any], row: Mapping[str, Any]) -> Place | None:
    region, city = slug(location.get("country")), slug(location.get("city"))
    v0_name = str(first(row, ("v0Name", "v0_name")) or "")
    has, costs = _row(row.get("resources")), _row(row.get("pricing"))
    shown = str(first(row, ("displayName", "display_name")) or "")
    size = _GB.search(v0_name) or _GB.search(shown)
    card = cards.card(v0_name.lower().replace("geforce", ""))
    known = cards.SIZES.get(card.name, ())
    memory = int(size[1]) if size else (known[0] if len(known) == 1 else 0)
    usd_gpu = number(first(row, ("price_per_hr", "price_per_hour")))
    most = int(number(first(row, ("max_count", "maxCount"))))
    if not (id_of(location) and region and _V0_NAME.fullmatch(v0_name)):
        return None
    if not (memory and most and usd_gpu):
        return None
    net = _row(row.get("network_features"))
    return Place(
        location=id_of(location),
        region=region,
        zone=f"{region}-{city or 'any'}",
        v0_name=v0_name,
        gpu_name=card.name,
        gpu_memory_gb=memory,
        most_gpus=most,
        most_cpus=int(number(has.get("max_vcpus"))),
        most_ram_gb=int(number(has.get("max_ram_gb"))),
        usd_gpu=usd_gpu,
        usd_cpu=number(costs.get("per_vcpu_hr")),
        usd_ram_gb=number(costs.get("per_gb_ram_hr")),
        usd_disk_gb=number(costs.get("per_gb_storage_hr")),
        has_dedicated_ip=bool(net.get("dedicated_ip_available", True)),
        has_ports=bool(net.get("port_forwarding_available", True)),
    )


def slug(text: Any) -> str:
    """Return a place's name as one word: `unitedkingdom`."""
    return re.sub(r"[^a-z0-9]", "", str(text or "").lower())[:40]


def number(value: Any) -> float:
    """Return a number that is none below 0, 0 for what is no number at all."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if 0 <= found < 1e9 else 0.0


def _rows(value: Any) -> Iterator[Mapping[str, Any]]:
    """Return the GPUs of a location: a list, or a mapping by their name."""
    if isinstance(value, dict):
        value = [{"v0Name": name, **row} for name, row in value.items() if isinstance(row, dict)]
    yield from (row for row in value if isinstance(row, dict)) if isinstance(value, list) else ()


def _row(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
