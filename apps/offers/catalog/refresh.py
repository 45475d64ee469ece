"""Prices as the clouds themselves say them, in place of those of the snapshot.

One region at a time, spot and on demand apart: each is written in one short transaction after all
of it was said, so that a refresh that fails leaves what there was, with its day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from apps.backends import services as backends
from apps.backends.base import Offer, Provider
from apps.backends.models import Backend
from apps.offers.catalog import zones
from apps.offers.catalog.kinds import KINDS
from apps.offers.models import CatalogOffer, CatalogSource

EVERY = timedelta(hours=6)
BATCH = 500
LONGEST_KEY = CatalogSource._meta.get_field("key").max_length or 0
KEY = ("kind", "region", "instance_type", "spot")
WRITTEN = (
    *("zones", "cpus", "memory_mib", "arch", "gpu_name", "gpu_count", "gpu_memory_mib"),
    *("gpu_vendor", "usd_per_hour", "source"),
)


def due(kind: str, regions: Iterable[str], *, at: datetime) -> Iterator[tuple[str, bool]]:
    """Return the regions whose prices are old, each with whether those of spot are, oldest first.

    What never was read is older than all.
    """
    known = dict(CatalogSource.objects.filter(kind=kind, digest="").values_list("key", "loaded_at"))
    both = [(region, spot) for region in regions for spot in (False, True)]
    never = at - timedelta(days=36_500)
    aged = [(known.get(key_of(kind, *each), never), each) for each in both]
    for read_at, each in sorted(aged):
        if at - read_at >= EVERY:
            yield each


def key_of(kind: str, region: str, spot: bool) -> str:
    return f"{kind}-{'spot' if spot else 'price'}-{region}"[:LONGEST_KEY]


def refresh(backend: Backend, region: str, *, spot: bool, at: datetime) -> int:
    """Ask the cloud and write what it says; return how many offers that are.

    Raise ProviderError. Where it says nothing at all, what there was is kept.
    """
    found = asked(backends.provider_of(backend), region, spot=spot)
    if found:
        write(backend.kind, region, found, spot=spot, at=at)
    return len(found)


def asked(provider: Provider, region: str, *, spot: bool) -> dict[str, Offer]:
    """Return what the provider says by instance; a region has at most some thousand."""
    offers = provider.catalog(region, spot=spot)
    return {each.instance: each for each in offers if each.region == region and each.spot == spot}


def write(kind: str, region: str, found: dict[str, Offer], *, spot: bool, at: datetime) -> None:
    """Let the region have these offers and no others."""
    with transaction.atomic():
        source, _ = CatalogSource.objects.update_or_create(
            key=key_of(kind, region, spot),
            defaults={
                "kind": kind,
                "words": _words(kind, spot),
                "priced_on": at.date(),
                "digest": "",
                "loaded_at": at,
            },
        )
        # In one order, so that two that write the same wait for each other and no more.
        rows = [_row(kind, found[name], source) for name in sorted(found)]
        CatalogOffer.objects.bulk_create(
            rows, BATCH, update_conflicts=True, unique_fields=KEY, update_fields=WRITTEN
        )
        of_region = CatalogOffer.objects.filter(kind=kind, region=region, spot=spot)
        of_region.exclude(source=source).delete()
        of_region.exclude(instance_type__in=list(found)).delete()


def _words(kind: str, spot: bool) -> str:
    label = KINDS[kind].label if kind in KINDS else kind
    return f"{label}'s own {'spot prices' if spot else 'price list'}"


def _row(kind: str, offer: Offer, source: CatalogSource) -> CatalogOffer:
    hardware, gpu = offer.hardware, offer.hardware.gpu
    short = (zones.short(kind, offer.region, name) for name in offer.zones)
    return CatalogOffer(
        kind=kind,
        region=offer.region,
        zones=[each for each in short if each is not None],
        instance_type=offer.instance,
        cpus=hardware.cpus,
        memory_mib=hardware.memory_mib,
        arch=hardware.arch,
        gpu_name=gpu.name if gpu else "",
        gpu_count=gpu.count if gpu else 0,
        gpu_memory_mib=gpu.memory_mib if gpu else 0,
        gpu_vendor=gpu.vendor if gpu else "",
        spot=offer.spot,
        usd_per_hour=Decimal(str(offer.price_usd_per_hour)),
        source=source,
    )
