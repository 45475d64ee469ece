"""What Google Cloud rents in a region and for how much: asked of Google, for the refresh."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from apps.backends.base import Offer
from apps.backends.providers.gcp.clients import Clients
from apps.backends.providers.gcp.pricing import sizes, skus
from apps.backends.providers.gcp.pricing.sizes import Size
from apps.backends.providers.gcp.pricing.skus import CORE, GPU, RAM, SSD, Part

COMPUTE = "v1/services/6F81-5844-456A/skus"
PAGE = 5000
# The list is one for all regions and takes some calls: it is kept for those that are read next.
KEPT_SECONDS = 1800.0
_lock = threading.Lock()
_kept: dict[str, tuple[float, skus.Prices]] = {}


def offers(clients: Clients, region: str, *, spot: bool) -> Iterator[Offer]:
    """Return each type that the region has and all of whose parts have a price."""
    prices = _prices(clients).get(region, {})
    zones: dict[str, set[str]] = defaultdict(set)
    found: dict[str, Size] = {}
    for zone in clients.zones(region):
        for size in _of_zone(clients, zone):
            found[size.name] = size
            zones[size.name].add(zone)
    for name, size in sorted(found.items()):
        usd = price(size, prices, spot=spot)
        if usd is not None:
            yield Offer(
                "gcp",
                region,
                name,
                size.hardware,
                usd,
                spot=spot,
                kind="gcp",
                zones=tuple(sorted(zones[name])),
            )


def price(size: Size, prices: Mapping[Part, float], *, spot: bool) -> float | None:
    """Return USD an hour, None where a part has no price."""
    hardware = size.hardware
    parts = [
        (Part(CORE, size.series, spot), float(hardware.cpus)),
        (Part(RAM, size.series, spot), hardware.memory_mib / 1024),
    ]
    if gpu := hardware.gpu:
        card = skus.card_of(f"{gpu.name} {gpu.memory_mib // 1024}")
        parts.append((Part(GPU, card, spot), float(gpu.count)))
    if size.local_ssd_gib:
        parts.append((Part(SSD, "", spot), float(size.local_ssd_gib)))
    if any(part not in prices for part, _ in parts):
        return None
    return round(sum(prices[part] * amount for part, amount in parts), 6)


def forget() -> None:
    """Forget the price list: the next refresh asks for it."""
    _kept.clear()


def _of_zone(clients: Clients, zone: str) -> Iterator[Size]:
    attachable = {str(row.name) for row in clients.call("AcceleratorTypes", "list", zone=zone)}
    for row in clients.call("MachineTypes", "list", zone=zone):
        if not row.deprecated.state:
            yield from sizes.sizes(row, attachable)


def _prices(clients: Clients) -> skus.Prices:
    """Ask for the price list, which is the same for every project. One asks at a time."""
    # Who may not ask is told so, rather than what another was answered.
    who = f"{clients.endpoint} {clients.project} {clients.identity}"
    key = hashlib.sha256(who.encode()).hexdigest()
    with _lock:
        at, known = _kept.get(key, (0.0, {}))
        if not known or time.monotonic() - at > KEPT_SECONDS:
            known = skus.read(_items(clients))
            _kept[key] = (time.monotonic(), known)
        return known


def _items(clients: Clients) -> Iterator[Mapping[str, Any]]:
    asked: dict[str, Any] = {"currencyCode": "USD", "pageSize": PAGE}
    while True:
        page = clients.ask("GET", "cloudbilling", COMPUTE, params=asked)
        yield from page.get("skus", ())
        if not page.get("nextPageToken"):
            return
        asked["pageToken"] = page["nextPageToken"]
