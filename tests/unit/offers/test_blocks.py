"""What a refusal keeps away, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.backends.base import ErrorKind, Hardware, Offer, ProviderError, Scope
from apps.backends.providers.aws.provider import AwsProvider
from apps.offers import blocks

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
SMALL = Hardware(cpus=4, memory_mib=16384, disk_mib=102400)


def offer(
    instance: str = "p5.48xlarge",
    *,
    region: str = "us-east-1",
    spot: bool = False,
    zones: tuple[str, ...] = (),
) -> Offer:
    return Offer("aws", region, instance, SMALL, 1.0, spot=spot, zones=zones)


def error(kind: str, scope: str = "offer+region", **fields: Any) -> ProviderError:
    return ProviderError("no", kind=ErrorKind(kind), scope=Scope(scope), **fields)


def family(of: Offer) -> str:
    return AwsProvider.family_of(of.instance)


def blocked_by(fault: ProviderError | None, about: Offer, *, zone: str = "") -> list[blocks.Block]:
    found = blocks.subject(about, fault, family=family(about), zone=zone)
    if found is None:
        return []
    return [blocks.Block(found, "capacity", "no", AT + blocks.lasts(fault))]


SAME, OTHER_REGION = offer(), offer(region="us-west-2")
SIBLING, OTHER_FAMILY = offer("p4d.24xlarge"), offer("g5.xlarge")
SPOT, SPOT_OF_ANOTHER = offer(spot=True), offer("m5.large", spot=True)
EVERY = {
    "same": SAME,
    "other region": OTHER_REGION,
    "sibling": SIBLING,
    "other family": OTHER_FAMILY,
    "spot": SPOT,
    "spot of another": SPOT_OF_ANOTHER,
}
OF_REGION = EVERY.keys() - {"other region"}


@pytest.mark.parametrize(
    ("fault", "about", "kept_away"),
    [
        (error("capacity"), SAME, {"same"}),
        (error("capacity", "offer+zone"), SAME, {"same"}),
        (error("refused"), SAME, {"same"}),
        (None, SAME, {"same"}),
        (error("capacity"), SPOT, {"spot"}),
        (error("quota", "family+region"), SAME, {"same", "sibling"}),
        (error("quota", "spot+region"), SPOT, {"spot", "spot of another"}),
        (error("setup", "spot+region"), SPOT, {"spot", "spot of another"}),
        (error("quota", "backend"), SAME, set(EVERY)),
        (error("setup"), SAME, set(EVERY)),
        (error("credentials"), SAME, set(EVERY)),
        (error("throttled"), SAME, set()),
        (error("unreachable"), SAME, set()),
        (error("throttled", "region"), SAME, set()),
        (error("unreachable", "region"), SAME, OF_REGION),
        (error("setup", "region"), SPOT, OF_REGION),
        (error("quota", "region"), SAME, OF_REGION),
        (error("unreachable", "backend"), SAME, set(EVERY)),
    ],
)
def test_a_refusal_keeps_away_what_it_holds_for(
    fault: ProviderError | None, about: Offer, kept_away: set[str]
) -> None:
    known = blocked_by(fault, about)
    held = {n for n, each in EVERY.items() if blocks.holding(known, each, family=family(each))}
    assert held == kept_away


def test_a_zone_is_left_out_until_none_is_left() -> None:
    one = offer(zones=("us-east-1a", "us-east-1b"))
    first = blocked_by(error("capacity", "offer+zone"), one, zone="us-east-1a")
    both = first + blocked_by(None, one, zone="us-east-1b")

    assert blocks.open_zones(first, one) == ("us-east-1b",)
    assert blocks.holding(first, one, family="P") is None
    assert blocks.open_zones(both, one) == ()
    assert blocks.holding(both, one, family="P") is not None
    # Where nobody knows its zones, one that is full says nothing of the others.
    assert blocks.holding(both, offer(), family="P") is None
    assert blocks.holding(both, offer(zones=one.zones, spot=True), family="P") is None


def test_the_longest_block_counts() -> None:
    short, long = error("capacity"), error("quota", "family+region", lifetime=timedelta(hours=2))
    held = blocks.holding(blocked_by(short, SAME) + blocked_by(long, SAME), SAME, family="P")
    assert held is not None
    assert held.until == AT + timedelta(hours=2)


@pytest.mark.parametrize(
    ("fault", "minutes"),
    [
        (None, 3),
        (error("capacity"), 3),
        (error("capacity", lifetime=timedelta(minutes=20)), 20),
        (error("quota", "family+region"), 60),
        (error("refused"), 10),
        # A person who mends the set-up is not to wait, whatever a provider says.
        (error("setup", lifetime=timedelta(days=1)), 2),
        (error("credentials"), 2),
    ],
)
def test_how_long_a_refusal_is_held_for_true(fault: ProviderError | None, minutes: int) -> None:
    assert blocks.lasts(fault) == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("instance", "named"),
    [
        ("m5.large", "Standard"),
        ("im4gn.large", "Standard"),
        ("d3en.xlarge", "Standard"),
        ("p5.48xlarge", "P"),
        ("p6-b200.48xlarge", "P"),
        ("g6e.xlarge", "G and VT"),
        ("gr6.4xlarge", "G and VT"),
        ("vt1.3xlarge", "G and VT"),
        ("inf2.xlarge", "Inf"),
        ("dl1.24xlarge", "DL"),
        ("x2idn.16xlarge", "X"),
        ("u-6tb1.metal", "High Memory"),
        ("u7i-12tb.224xlarge", "High Memory"),
        ("mac2.metal", "mac2"),
        ("", ""),
    ],
)
def test_instances_of_aws_share_a_quota_by_family(instance: str, named: str) -> None:
    assert AwsProvider.family_of(instance) == named
