"""What Azure rents in a region and for how much: its sizes, and its public price list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from apps.backends.base import Hardware, Offer
from apps.backends.providers.azure import prices, retail, sizes
from apps.backends.providers.azure.clients import Clients

MACHINES = "virtualMachines"


def offers(clients: Clients, region: str, *, spot: bool) -> Iterator[Offer]:
    """Return each size that the subscription may have there and that has a price."""
    known = _sizes(clients, region, spot=spot)
    today = datetime.now(UTC).date().isoformat()
    found = prices.by_size(retail.rows(region), region, spot=spot, now=today)
    for name, usd in sorted(found.items()):
        if name in known:
            yield Offer("azure", region, name, known[name], usd, spot=spot, kind="azure")


def _sizes(clients: Clients, region: str, *, spot: bool) -> dict[str, Hardware]:
    found = {}
    for each in clients.compute.resource_skus.list(filter=f"location eq '{region}'"):
        row = each.as_dict()
        if row.get("resourceType") != MACHINES or (spot and not sizes.can_be_spot(row)):
            continue
        if has := sizes.hardware(row):
            found[str(row["name"])] = has
    return found
