"""A row of the catalog as an offer: with the disk that a service asks for. Pure."""

from __future__ import annotations

from apps.backends import capabilities
from apps.backends.base import Gpu, Hardware, Offer
from apps.offers.catalog import zones
from apps.offers.catalog.kinds import KINDS
from apps.offers.executors import DOCKER, PROCESS
from apps.offers.models import CatalogOffer
from apps.specs.fields.ranges import Range

# Nobody knows before asking whether a cloud has one free.
NOT_ASKED = "unknown"


# Who asks for GPUs asks for what is in an image; a machine without any has a Python of its own.
WITH_GPU, WITHOUT_GPU = (DOCKER,), (DOCKER, PROCESS)


def as_offer(row: CatalogOffer, *, disk: Range, backend: str = "") -> Offer:
    """Return the offer of a row, its root disk as near to the least of `disk` (MiB) as can be.

    `backend` is the name of the one that gives it, where it is connected.
    """
    least, most = KINDS[row.kind].disk_mib
    hardware = Hardware(
        cpus=row.cpus,
        memory_mib=row.memory_mib,
        disk_mib=min(max(disk.min or 0, least), most),
        gpu=_gpu(row),
        arch=row.arch,
    )
    return Offer(
        backend=backend or row.kind,
        kind=row.kind,
        region=row.region,
        instance=row.instance_type,
        hardware=hardware,
        price_usd_per_hour=float(row.usd_per_hour),
        spot=row.spot,
        availability=NOT_ASKED,
        executors=WITH_GPU if row.gpu_count else WITHOUT_GPU,
        zones=tuple(zones.full(row.kind, row.region, each) for each in row.zones),
    )


def _gpu(row: CatalogOffer) -> Gpu | None:
    if not row.gpu_count:
        return None
    return Gpu(
        name=row.gpu_name,
        memory_mib=row.gpu_memory_mib,
        count=row.gpu_count,
        vendor=row.gpu_vendor,
        compute_capability=capabilities.CAPABILITIES.get(row.gpu_name),
    )
