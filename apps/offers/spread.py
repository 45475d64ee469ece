"""Which offer a replica is given where others of its service run already. Pure.

A cloud takes spot machines back by type and zone, all of one market at once. So replicas of a
service are kept apart where that costs little more, and where spot machines were taken back again
and again, machines on demand come first for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain

from apps.backends.base import Offer

# What may be paid more for a market of its own: less than this share.
MOST_MORE = 0.30
# So many offers are looked through for one.
MOST_LOOKED_AT = 50
# A service that lost as many spot machines as it has replicas, and three at least, in this time.
STREAK_WITHIN = timedelta(minutes=30)
SHORTEST_STREAK = 3


@dataclass(frozen=True)
class Taken:
    """Where another replica of the service is; `zone` is empty where nobody knows."""

    backend: str
    region: str
    instance: str
    spot: bool
    zone: str = ""


@dataclass(frozen=True)
class Choice:
    """An offer, and why it is taken before a cheaper one; "" where it is the cheapest."""

    offer: Offer
    why: str = ""


def is_streak(interruptions: int, *, replicas: int) -> bool:
    """Tell whether so many within `STREAK_WITHIN` have machines on demand come first."""
    return interruptions >= max(SHORTEST_STREAK, replicas)


def on_demand_first(walk: Callable[[], Iterable[Offer]], interruptions: int) -> Iterator[Choice]:
    """Return what is on demand, then all: spot machines are still better than none."""
    minutes = int(STREAK_WITHIN.total_seconds() // 60)
    why = f"{interruptions} of its spot machines were taken back within {minutes} minutes"
    firm = (Choice(offer, why) for offer in walk() if not offer.spot)
    return chain(firm, (Choice(offer) for offer in walk()))


def apart(offers: Iterable[Offer], taken: Sequence[Taken]) -> Iterator[Choice]:
    """Return the offers, cheapest first, but for those that cost less than 30 % more than the
    cheapest: of these the ones with the fewest replicas in their type and zone come first.

    Machines that stand there already are no market: they are taken in their order.
    """
    walk = iter(offers)
    cheapest = next(walk, None)
    if cheapest is None:
        return
    near, beyond = [cheapest], None
    if taken and not cheapest.shared:
        near, beyond = _near(cheapest, walk)
    order = sorted(near, key=lambda offer: crowd(offer, taken))
    yield from (Choice(apart_in_zones(each, taken), _why(each, cheapest, taken)) for each in order)
    yield from (Choice(each) for each in ([beyond] if beyond else []))
    yield from map(Choice, walk)


def _near(cheapest: Offer, walk: Iterator[Offer]) -> tuple[list[Offer], Offer | None]:
    """Return what costs little more, and the first that does not: it was read from the walk."""
    near = [cheapest]
    most = cheapest.price_usd_per_hour * (1 + MOST_MORE)
    while len(near) < MOST_LOOKED_AT and (offer := next(walk, None)) is not None:
        if offer.shared or offer.price_usd_per_hour >= most:
            return near, offer
        near.append(offer)
    return near, None


def remarks(offers: Sequence[Offer], *, replicas: int) -> list[str]:
    """Say in a plan that replicas may come onto dearer offers; `offers` are cheapest first."""
    cheapest = offers[0] if offers else None
    if replicas < 2 or cheapest is None or cheapest.shared:
        return []
    near, _ = _near(cheapest, iter(offers[1:]))
    most = max(offer.price_usd_per_hour for offer in near)
    if most <= cheapest.price_usd_per_hour:
        return []
    return [
        "Replicas are kept apart by type, zone and region where that costs less than 30 % more: "
        f"up to ${most:g} instead of ${cheapest.price_usd_per_hour:g} an hour each."
    ]


def crowd(offer: Offer, taken: Sequence[Taken]) -> tuple[int, int]:
    """Return how many replicas are in the emptiest of its zones: of its type, and of any."""
    counts = [
        (_of_type(offer, taken, zone), sum(_is_in(each, offer, zone) for each in taken))
        for zone in offer.zones or ("",)
    ]
    return min(counts)


def apart_in_zones(offer: Offer, taken: Sequence[Taken]) -> Offer:
    """Return the offer with the zones first that have the fewest replicas on its type."""
    if not taken or len(offer.zones) < 2:
        return offer
    zones = sorted(offer.zones, key=lambda zone: _of_type(offer, taken, zone))
    return replace(offer, zones=tuple(zones))


def _of_type(offer: Offer, taken: Sequence[Taken], zone: str) -> int:
    market = (offer.instance, offer.spot)
    return sum(_is_in(each, offer, zone) and (each.instance, each.spot) == market for each in taken)


def _is_in(each: Taken, offer: Offer, zone: str) -> bool:
    """Tell whether it is there; one whose zone is not known is in each."""
    here = (each.backend, each.region) == (offer.backend, offer.region)
    return here and (not zone or not each.zone or each.zone == zone)


def _why(offer: Offer, cheapest: Offer, taken: Sequence[Taken]) -> str:
    if offer.price_usd_per_hour <= cheapest.price_usd_per_hour:
        return ""
    full = crowd(cheapest, taken)[0]
    where = f"{cheapest.region} {cheapest.instance}{' (spot)' if cheapest.spot else ''}"
    return (
        f"${offer.price_usd_per_hour:g} instead of ${cheapest.price_usd_per_hour:g} an hour, "
        f"apart from {full} other{'s' if full != 1 else ''} on {where}"
    )
