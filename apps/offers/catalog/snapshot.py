"""The snapshot that comes with this version, and its way into the database.

Its own format: `data/prices.csv` has a row for each price, `data/sizes.csv` one for each machine,
`data/NOTICE.md` says where they come from.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.offers.models import CatalogOffer, CatalogSource

FOLDER = Path(__file__).parent / "data"
PRICES, SIZES = FOLDER / "prices.csv", FOLDER / "sizes.csv"


@dataclass(frozen=True)
class Source:
    """Who said what machines of a kind cost, and of which day that is."""

    kind: str
    words: str
    priced_on: date


SOURCES: Mapping[str, Source] = {
    "aws-karpenter": Source(
        "aws", "AWS's price list of us-east-1, as Karpenter has it", date(2026, 7, 20)
    ),
    "azure-karpenter": Source(
        "azure", "Azure's retail prices, as Karpenter has them", date(2026, 6, 18)
    ),
    "gcp-autoscaler": Source(
        "gcp", "GCP's base prices, as the cluster autoscaler has them", date(2026, 6, 22)
    ),
}
COLUMNS = (
    *("kind", "region", "zones", "instance_type", "cpus", "memory_mib", "arch", "gpu_name"),
    *("gpu_count", "gpu_memory_mib", "gpu_vendor", "spot", "usd_per_hour", "source_id"),
)
KIND, REGION, SPOT = (COLUMNS.index(name) for name in ("kind", "region", "spot"))
Row = tuple[object, ...]


def load() -> int:
    """Put the snapshot into the database where it is not there yet; return how many rows.

    Rows that another source gave are kept: what a cloud itself said is newer.
    """
    mark = digest()
    known = CatalogSource.objects.filter(key__in=SOURCES, digest=mark)
    if known.count() == len(SOURCES):
        return 0
    with transaction.atomic():
        _keep_others_out()
        if known.count() == len(SOURCES):
            return 0
        _write_sources(mark)
        return _copy(rows())


def _keep_others_out() -> None:
    """Let one process at a time load; who reads is not kept waiting."""
    with connection.cursor() as cursor:
        cursor.execute(f'LOCK TABLE "{CatalogSource._meta.db_table}" IN SHARE ROW EXCLUSIVE MODE')


def _write_sources(mark: str) -> None:
    CatalogSource.objects.filter(key__in=SOURCES).delete()
    CatalogSource.objects.bulk_create(
        CatalogSource(
            key=key,
            kind=source.kind,
            words=source.words,
            priced_on=source.priced_on,
            digest=mark,
            loaded_at=timezone.now(),
        )
        for key, source in SOURCES.items()
    )


def _copy(found: Iterator[Row]) -> int:
    """Write rows by PostgreSQL's COPY, which takes a tenth of the time of inserts."""
    taken = set(CatalogOffer.objects.values_list("kind", "region", "spot").distinct())
    table, written = CatalogOffer._meta.db_table, 0
    statement = f'COPY "{table}" ({", ".join(COLUMNS)}) FROM STDIN'
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in found:
            if (row[KIND], row[REGION], row[SPOT]) not in taken:
                copy.write_row(row)
                written += 1
    return written


@cache
def digest() -> str:
    """Return a digest of the files and of what is said of them."""
    made = hashlib.sha256(repr(SOURCES).encode())
    for path in (PRICES, SIZES):
        made.update(path.read_bytes())
    return made.hexdigest()


def rows() -> Iterator[Row]:
    """Return the snapshot's rows in the order of COLUMNS."""
    sizes = sizes_by_name()
    with PRICES.open(newline="") as file:
        for each in csv.DictReader(file):
            size = sizes[each["kind"], each["instance_type"]]
            place = (each["kind"], each["region"], each["zones"].split(), each["instance_type"])
            spot = each["spot"] == "spot"
            yield *place, *size, spot, each["usd_per_hour"], each["source"]


def sizes_by_name() -> dict[tuple[str, str], Sequence[Any]]:
    """Return what each machine has, by kind and name, in the order of COLUMNS."""
    with SIZES.open(newline="") as file:
        return {(each["kind"], each["instance_type"]): _size(each) for each in csv.DictReader(file)}


def _size(row: Mapping[str, str]) -> Sequence[object]:
    count, memory = int(row["gpu_count"] or 0), int(row["gpu_memory_mib"] or 0)
    hardware = (int(row["cpus"]), int(row["memory_mib"]), row["arch"])
    return *hardware, row["gpu_name"], count, memory, row["gpu_vendor"]
