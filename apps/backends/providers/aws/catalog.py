"""What AWS rents in a region and for how much: asked of AWS itself, for the refresh of prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from apps.backends.base import Hardware, Offer
from apps.backends.providers.aws import prices, sizes
from apps.backends.providers.aws.clients import Clients

LINUX = "Linux/UNIX"


def on_demand(clients: Clients, region: str) -> Iterator[Offer]:
    """Return what the price list names and the region has."""
    ec2, pricing = clients.ec2(region), clients.of("pricing", prices.HOME)
    known, zones = _sizes(ec2), _zones(ec2)
    pages = pricing.get_paginator("get_products").paginate(**prices.question(region))
    for page in pages:
        for instance, usd in prices.read(page["PriceList"], region):
            if instance in known and instance in zones:
                yield _offer(region, instance, known[instance], usd, tuple(sorted(zones[instance])))


def spot(clients: Clients, region: str) -> Iterator[Offer]:
    """Return what spot machines cost now: the price of the cheapest zone, which is tried first."""
    ec2 = clients.ec2(region)
    known = _sizes(ec2)
    latest: dict[tuple[str, str], tuple[datetime, float]] = {}
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        ProductDescriptions=[LINUX], StartTime=datetime.now(UTC)
    )
    for page in pages:
        for row in page["SpotPriceHistory"]:
            key = (row["InstanceType"], row["AvailabilityZone"])
            said = (row["Timestamp"], float(row["SpotPrice"]))
            latest[key] = max(said, latest.get(key, said), key=lambda each: each[0])
    by_type: dict[str, dict[str, float]] = defaultdict(dict)
    for (instance, zone), (_, usd) in latest.items():
        by_type[instance][zone] = usd
    for instance, of_zones in by_type.items():
        if instance in known:
            cheapest = sorted(of_zones, key=lambda zone: (of_zones[zone], zone))
            usd = of_zones[cheapest[0]]
            yield _offer(region, instance, known[instance], usd, tuple(cheapest), is_spot=True)


def _offer(
    region: str,
    instance: str,
    hardware: Hardware,
    usd: float,
    zones: tuple[str, ...],
    *,
    is_spot: bool = False,
) -> Offer:
    return Offer("aws", region, instance, hardware, usd, spot=is_spot, kind="aws", zones=zones)


def _sizes(ec2: Any) -> dict[str, Hardware]:
    found = {}
    for page in ec2.get_paginator("describe_instance_types").paginate():
        for row in page["InstanceTypes"]:
            if hardware := sizes.hardware(row):
                found[row["InstanceType"]] = hardware
    return found


def _zones(ec2: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone"
    )
    for page in pages:
        for row in page["InstanceTypeOfferings"]:
            found[row["InstanceType"]].add(row["Location"])
    return found
