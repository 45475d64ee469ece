"""Offers counted by GPU, backend and region, each group with its lowest and highest price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Min

from apps.accounts.models import Project
from apps.backends.base import Gpu, Offer, gigabytes
from apps.core.errors import Invalid
from apps.offers import queries
from apps.offers.catalog import match
from apps.offers.catalog.kinds import not_connected
from apps.offers.catalog.supply import Supply
from apps.specs.sections.service import ServiceSpec

# What can be grouped by, with the columns of the catalog that tell it.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "gpu": ("gpu_name", "gpu_memory_mib", "gpu_count"),
    "backend": ("kind",),
    "region": ("region",),
}


@dataclass
class Group:
    """Offers that share `shared` (key -> value): how many, and what they cost an hour."""

    shared: Mapping[str, str]
    count: int
    least: float
    most: float

    def add(self, other: Group) -> None:
        self.count += other.count
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)


def keys(text: str) -> list[str]:
    """Read `gpu,backend`. Raise Invalid for what offers cannot be grouped by."""
    named = list(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in named if name not in COLUMNS]
    if unknown:
        raise Invalid(
            f"group_by: cannot group by {unknown[0][:50]!r}, use {', '.join(COLUMNS)} with commas "
            "between them."
        )
    return named


def grouped(
    *, project: Project, spec: ServiceSpec, by: Sequence[str], every: bool = False
) -> list[Group]:
    """Return what fits in groups, cheapest first, blocked or not.

    `every` adds clouds that are not connected.
    """
    found = queries.find(project=project, spec=spec)
    supplies = [supply.whole for supply in found.supplies]
    if every:
        supplies.append(Supply(tuple(not_connected(found.kinds))))
    groups: dict[tuple[str, ...], Group] = {}
    rented = (group for supply in supplies for group in _rented(spec, supply, by))
    for group in (*_standing([*found.standing, *found.kept_away], by), *rented):
        known = groups.setdefault(tuple(group.shared.values()), group)
        if known is not group:
            known.add(group)
    return sorted(groups.values(), key=lambda each: (each.least, *each.shared.values()))


def _standing(offers: Sequence[Offer], by: Sequence[str]) -> Iterator[Group]:
    for offer in offers:
        told = {
            "gpu": _gpu(offer.hardware.gpu),
            "backend": offer.backend,
            "region": offer.region,
        }
        price = offer.price_usd_per_hour
        yield Group({key: told[key] for key in by}, 1, price, price)


def _rented(spec: ServiceSpec, supply: Supply, by: Sequence[str]) -> Iterator[Group]:
    columns = [column for key in by for column in COLUMNS[key]]
    rows = (
        match.fitting(spec, supply)
        .values(*columns)
        .annotate(offers=Count("pk"), least=Min("usd_per_hour"), most=Max("usd_per_hour"))
    )
    for row in rows:
        shared = {key: _value(key, row) for key in by}
        if supply.backend and "backend" in shared:
            shared["backend"] = supply.backend
        yield Group(shared, row["offers"], float(row["least"]), float(row["most"]))


def _value(key: str, row: Mapping[str, Any]) -> str:
    if key != "gpu":
        return str(row[COLUMNS[key][0]])
    if not row["gpu_count"]:
        return _gpu(None)
    return _gpu(Gpu(row["gpu_name"], row["gpu_memory_mib"], row["gpu_count"]))


def _gpu(gpu: Gpu | None) -> str:
    """Write the GPUs of an offer as a service asks for them: `A100:80GB:2`."""
    if gpu is None or not gpu.count:
        return "none"
    return f"{gpu.name}:{gigabytes(gpu.memory_mib)}:{gpu.count}"


def group_json(group: Group) -> dict[str, Any]:
    """Return a group as the API shows it."""
    return {
        **{key: group.shared.get(key) for key in COLUMNS},
        "offers": group.count,
        "min_price_usd_per_hour": group.least,
        "max_price_usd_per_hour": group.most,
    }
