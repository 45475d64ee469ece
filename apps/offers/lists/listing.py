"""Offers to look at: those of a project's backends and, if asked for, of every cloud known."""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from django.utils import timezone

from apps.accounts.models import Project
from apps.backends.registry import PROVIDERS
from apps.offers import decide, queries, reasons
from apps.offers.catalog import match
from apps.offers.catalog.as_offer import as_offer
from apps.offers.catalog.kinds import KINDS, not_connected
from apps.offers.catalog.supply import Supply
from apps.offers.found import Seen, nearest
from apps.specs.sections.service import ServiceSpec

SHOWN_REASONS = 3
NOTHING = match.Fitting((), 0, None)
# What can be connected, with what to do for it; of the others only prices are known.
CONNECT = "Connect {kinds} on the page Backends, or with `dstack backend connect {first}`."
PRICES_ALONE = "This version cannot connect {kinds}: it shows prices alone."
# What a connected cloud says is asked several times a day: who has older prices has had none since.
STALE_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class Listed:
    """An offer as it was seen, of a cloud that is connected or not."""

    seen: Seen
    connected: bool = True

    @property
    def is_stale(self) -> bool:
        """Whether its price was said so long ago that it may be another one now."""
        row = self.seen.row
        return row is not None and timezone.now().date() - row.source.priced_on > STALE_AFTER


@dataclass(frozen=True)
class Listing:
    """A page of offers, cheapest first, and of all that fit: how many, and the highest price.

    Those that are blocked are among them. `why_not` counts by reason the offers of clouds that are
    not connected where nothing fits, and `nearest` says which comes nearest; `note` says what there
    is of those clouds.
    """

    found: queries.Found
    items: Sequence[Listed]
    total: int
    max_price_usd_per_hour: float | None
    why_not: dict[str, int]
    note: str = ""
    nearest: str = ""

    @property
    def why_none(self) -> str | None:
        """Return why nothing fits, None where something does."""
        if self.total:
            return None
        if not self.why_not:
            return queries.why_none(self.found)
        reasons = "; ".join(counted(self)[:SHOWN_REASONS])
        return f"No offer fits, connected or not. {reasons}. {self.nearest}".strip()


def connected(*, project: Project, spec: ServiceSpec, start: int, limit: int) -> Listing:
    """Return what the project's backends have."""
    return _listing(project=project, spec=spec, start=start, limit=limit, every=False)


def every(*, project: Project, spec: ServiceSpec, start: int, limit: int) -> Listing:
    """Return what the project's backends have and what other clouds would rent."""
    return _listing(project=project, spec=spec, start=start, limit=limit, every=True)


def _listing(
    *, project: Project, spec: ServiceSpec, start: int, limit: int, every: bool
) -> Listing:
    found = queries.find(project=project, spec=spec)
    own = found.total + found.blocked_count
    elsewhere = Supply(tuple(not_connected(found.kinds)))
    others = NOTHING
    if every or not own:
        others = match.find(spec, elsewhere, limit=start + limit if every else 1)
    added = others if every else NOTHING
    prices = (found.dearest_usd_per_hour, added.max_usd_per_hour)
    total = own + added.count
    return Listing(
        found,
        _items(found, added, start=start, limit=limit),
        total,
        max((float(price) for price in prices if price is not None), default=None),
        match.why_not(spec, elsewhere) if every and not total else {},
        _note(others, found.kinds, every=every),
        _nearest(found, elsewhere) if every and not total else "",
    )


def _nearest(found: queries.Found, elsewhere: Supply) -> str:
    supplies = [*(supply.whole for supply in found.supplies), elsewhere]
    return nearest(found.spec, supplies)


def _items(found: queries.Found, added: match.Fitting, *, start: int, limit: int) -> list[Listed]:
    own = (Listed(seen) for seen in found.walk_whole())
    disk = found.spec.resources.disk_mib
    rented = (
        Listed(Seen(as_offer(row, disk=disk), row=row), connected=False) for row in added.cheapest
    )
    listed = heapq.merge(own, rented, key=lambda each: decide.order(each.seen.offer))
    return list(islice(listed, start, start + limit))


def how_to_connect(kinds: Sequence[str]) -> str:
    """Say which of these clouds can be connected and how, and of which only prices are known."""
    able = [kind for kind in kinds if kind in PROVIDERS]
    unable = [KINDS[kind].label for kind in kinds if kind not in PROVIDERS]
    said = []
    if able:
        named = _either([KINDS[kind].label for kind in able])
        said.append(CONNECT.format(kinds=named, first=able[0]))
    if unable:
        said.append(PRICES_ALONE.format(kinds=_either(unable)))
    return " ".join(said)


def _either(names: Sequence[str]) -> str:
    """Write `AWS`, `AWS or GCP`, `AWS, GCP or TensorDock`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _note(others: match.Fitting, kinds: Container[str], *, every: bool) -> str:
    """Say what there is in clouds that are not connected; nothing where there is nothing to say."""
    if not others.count:
        return ""
    if every:
        return how_to_connect(not_connected(kinds))
    first = others.cheapest[0]
    count = "1 offer fits" if others.count == 1 else f"{others.count:,} offers fit"
    return (
        f"In clouds that are not connected {count}, from ${first.usd_per_hour.normalize():f}/h "
        f"({KINDS[first.kind].label}, {first.region}, {first.instance_type})."
    )


def counted(listing: Listing) -> list[str]:
    """Return the reasons that keep offers away, each with how many."""
    refused = listing.found.matches.refused.items()
    own = [reasons.times(len(about), reasons.told(why, about)) for why, about in refused]
    counts = [*listing.found.why_not.items(), *listing.why_not.items()]
    return [*own, *(reasons.times(count, reason) for reason, count in counts)]


def listed_json(listed: Listed) -> dict[str, Any]:
    """Return an offer as API and CLI show it."""
    seen = listed.seen
    return queries.offer_json(seen.offer) | {
        "connected": listed.connected,
        "priced_at": seen.row and seen.row.source.priced_on,
        "source": seen.row and seen.row.source.words,
        "is_stale": listed.is_stale,
        "blocked": seen.block
        and {"kind": seen.block.kind, "reason": seen.block.reason, "until": seen.block.until},
    }
