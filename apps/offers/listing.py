"""Offers to look at: those of a project's backends and, if asked for, of every cloud known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from apps.accounts.models import Project
from apps.backends.base import Offer
from apps.offers import queries, reasons
from apps.offers.catalog import match
from apps.offers.catalog.as_offer import as_offer
from apps.offers.catalog.kinds import KINDS, not_connected
from apps.specs.sections.service import ServiceSpec

SHOWN_REASONS = 3
NOT_CONNECTED_YET = "This version shows what these clouds cost; it cannot connect them yet."


@dataclass(frozen=True)
class Listed:
    """An offer; of a cloud that is not connected, with who said its price and of which day."""

    offer: Offer
    connected: bool = True
    source: str = ""
    priced_on: date | None = None


@dataclass(frozen=True)
class Listing:
    """A page of offers, cheapest first, and of all that fit: how many, and the highest price.

    `why_not` counts by reason the offers that do not fit; `note` says what there is of clouds that
    are not connected.
    """

    found: queries.Found
    items: Sequence[Listed]
    total: int
    max_price_usd_per_hour: float | None
    why_not: dict[str, int]
    note: str = ""

    @property
    def why_none(self) -> str | None:
        """Return why nothing fits, None where something does."""
        if self.total:
            return None
        if not self.why_not:
            return queries.why_none(self.found)
        return "No offer fits, connected or not. " + "; ".join(counted(self)[:SHOWN_REASONS]) + "."


def connected(*, project: Project, spec: ServiceSpec, start: int, limit: int) -> Listing:
    """Return what the project's backends have."""
    found = queries.find(project=project, spec=spec)
    items = [Listed(offer) for offer in found.matches.offers[start : start + limit]]
    count, most = len(found.matches.offers), found.matches.max_price_usd_per_hour
    note = "" if count else _elsewhere(found, spec)
    return Listing(found, items, count, most, {}, note)


def every(*, project: Project, spec: ServiceSpec, start: int, limit: int) -> Listing:
    """Return what the project's backends have and what other clouds would rent."""
    found = queries.find(project=project, spec=spec)
    kinds = not_connected(found.kinds)
    others = match.find(spec, kinds=kinds, limit=start + limit)
    disk = spec.resources.disk_mib
    listed = [Listed(offer) for offer in found.matches.offers]
    listed += [
        Listed(as_offer(row, disk=disk), False, row.source.words, row.source.priced_on)
        for row in others.cheapest
    ]
    listed.sort(key=lambda each: each.offer.price_usd_per_hour)
    prices = [found.matches.max_price_usd_per_hour, others.max_usd_per_hour]
    total = len(found.matches.offers) + others.count
    return Listing(
        found,
        listed[start : start + limit],
        total,
        max((float(price) for price in prices if price is not None), default=None),
        {} if total else match.why_not(spec, kinds=kinds),
        NOT_CONNECTED_YET if others.count else "",
    )


def _elsewhere(found: queries.Found, spec: ServiceSpec) -> str:
    """Say what fits in clouds that are not connected, nothing where nothing does."""
    others = match.find(spec, kinds=not_connected(found.kinds), limit=1)
    if not others.cheapest:
        return ""
    first = others.cheapest[0]
    count = "1 offer fits" if others.count == 1 else f"{others.count:,} offers fit"
    return (
        f"In clouds that are not connected {count}, from ${first.usd_per_hour.normalize():f}/h "
        f"({KINDS[first.kind].label}, {first.region}, {first.instance_type})."
    )


def counted(listing: Listing) -> list[str]:
    """Return the reasons that keep offers away, each with how many."""
    refused = listing.found.matches.refused.items()
    own = [f"{len(about):,} × {reasons.told(why, about)}" for why, about in refused]
    return [*own, *(f"{count:,} × {reason}" for reason, count in listing.why_not.items())]


def listed_json(listed: Listed) -> dict[str, Any]:
    """Return an offer as API and CLI show it."""
    return queries.offer_json(listed.offer) | {
        "connected": listed.connected,
        "priced_at": listed.priced_on,
        "source": listed.source or None,
    }
