"""Azure's prices from its public list, for who has connected no account of it but wants to compare.

The list names sizes without what they have: that is of the snapshot, and others are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from apps.backends.base import ErrorKind, Gpu, Hardware, Offer, ProviderError
from apps.backends.providers.azure import prices
from apps.backends.providers.azure import retail as public_list
from apps.offers.catalog import refresh as writing
from apps.offers.catalog import snapshot
from apps.offers.models import CatalogOffer

KIND = "azure"
# A list that has lost more than this since the last one was cut off on its way.
LEAST_LEFT = 0.5


def regions() -> list[str]:
    """Return the regions of the catalog."""
    found = CatalogOffer.objects.filter(kind=KIND).order_by("region")
    return list(found.values_list("region", flat=True).distinct())


def refresh(region: str, *, spot: bool, at: datetime) -> int:
    """Read the list and write what it says of a region; return how many offers that are.

    Raise ProviderError, and leave what there was, where it says much less than before.
    """
    rows = public_list.rows(region)
    found = prices.by_size(rows, region, spot=spot, now=at.date().isoformat())
    offers = {each.instance: each for each in _offers(found, region, spot=spot)}
    before = CatalogOffer.objects.filter(kind=KIND, region=region, spot=spot).count()
    if len(offers) < before * LEAST_LEFT:
        raise ProviderError(
            f"Azure's price list names {len(offers)} machines of {region}, and named {before}: "
            "what there was is kept.",
            kind=ErrorKind.UNREACHABLE,
        )
    if offers:
        writing.write(KIND, region, offers, spot=spot, at=at)
    return len(offers)


def _offers(found: dict[str, float], region: str, *, spot: bool) -> list[Offer]:
    sizes = snapshot.sizes_by_name()
    return [
        Offer(KIND, region, name, _hardware(sizes[KIND, name]), usd, spot=spot, kind=KIND)
        for name, usd in found.items()
        if (KIND, name) in sizes
    ]


def _hardware(size: Sequence[Any]) -> Hardware:
    cpus, memory_mib, arch, gpu, count, gpu_memory_mib, vendor = size
    has = Gpu(gpu, gpu_memory_mib, count, vendor) if count else None
    return Hardware(cpus, memory_mib, disk_mib=0, gpu=has, arch=arch)
