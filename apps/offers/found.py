"""What a project could have: what stands there already, and the catalog as far as it is read."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice

from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.base import Offer
from apps.backends.models import Backend
from apps.offers import decide, reasons
from apps.offers.blocks import MOST_TOLD, Block, holding, open_zones, until, where
from apps.offers.catalog import match
from apps.offers.catalog.as_offer import as_offer
from apps.offers.catalog.supply import Supply
from apps.offers.models import CatalogOffer
from apps.specs.sections.service import ServiceSpec

# A plan shows so many; who needs more of the catalog walks on.
FIRST = 50
Blocks = Mapping[str, Sequence[Block]]


@dataclass(frozen=True)
class Seen:
    """An offer that fits, what blocks it, and the row of the catalog where it is from there."""

    offer: Offer
    block: Block | None = None
    row: CatalogOffer | None = None


@dataclass(frozen=True)
class Found:
    """`backends` are by name; `unavailable` are those that were not asked, with the reason.

    `matches` are the cheapest that fit, of what stands there already (`standing`) and of the
    `supplies` of the catalog; `total` counts them all. `blocks` are those of each backend,
    `kept_away` what they keep away of what stands there.
    """

    project: Project
    spec: ServiceSpec
    backends: dict[str, Backend]
    unavailable: dict[str, str]
    matches: decide.Matches = field(default_factory=decide.Matches)
    total: int = 0
    max_price_usd_per_hour: float | None = None
    supplies: Sequence[Supply] = ()
    standing: Sequence[Offer] = ()
    kept_away: Sequence[Offer] = ()
    blocks: Blocks = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        return {backend.kind for backend in self.backends.values()}

    @cached_property
    def why_not(self) -> dict[str, int]:
        """How many offers of connected clouds each reason keeps away, most first."""
        counts: dict[str, int] = {}
        for supply in self.supplies:
            for reason, count in match.why_not(self.spec, supply.whole).items():
                counts[reason] = counts.get(reason, 0) + count
        return dict(sorted(counts.items(), key=lambda each: -each[1]))

    @cached_property
    def nearest(self) -> str:
        """Which offer of connected clouds comes nearest, in a sentence; "" where there is none."""
        return nearest(self.spec, [supply.whole for supply in self.supplies])

    @cached_property
    def _whole(self) -> tuple[int, float | None]:
        """How many offers fit, blocked or not, and what the dearest costs an hour."""
        if not any(self.blocks.values()):
            return self.total, self.max_price_usd_per_hour
        told = [match.told(self.spec, supply.whole) for supply in self.supplies]
        mine = [*self.standing, *self.kept_away]
        prices = [float(most) for _, most in told if most is not None]
        prices += [offer.price_usd_per_hour for offer in mine]
        return len(mine) + sum(count for count, _ in told), max(prices, default=None)

    @property
    def blocked_count(self) -> int:
        """How many offers fit and are blocked."""
        return self._whole[0] - self.total

    @property
    def dearest_usd_per_hour(self) -> float | None:
        """What the dearest that fits costs, blocked or not."""
        return self._whole[1]

    @property
    def broken(self) -> dict[str, Block]:
        """What a person has to mend before anything can be had of a backend, by its name."""
        return {
            name: block
            for name, of_backend in self.blocks.items()
            for block in of_backend
            if block.is_of_backend
        }

    @property
    def shut(self) -> list[str]:
        """Say what of which backend is out: all, a region or, where a person has to mend it, spot
        machines; each with the reason and until when."""
        every = ((name, block) for name, some in self.blocks.items() for block in some)
        said = [
            f"{name} cannot be used{where(block)}: {block.reason.rstrip('.')}{until(block)}."
            for name, block in every
            if block.is_fault_of_setup or block.is_of_backend or block.is_of_region
        ]
        more = len(said) - MOST_TOLD
        return [*said[:MOST_TOLD], *([f"And {more} more like these."] if more > 0 else [])]

    def walk(self) -> Iterator[Offer]:
        """Return every offer that fits, cheapest first; the catalog is read as far as it is
        needed."""
        first = self.matches.offers
        return chain(first, islice(self._merged(), len(first), None))

    def _merged(self) -> Iterator[Offer]:
        rented = (_rented(self, supply) for supply in self.supplies)
        return heapq.merge(self.standing, *rented, key=decide.order)

    def walk_whole(self) -> Iterator[Seen]:
        """Return the same with those that are blocked."""
        standing = sorted([*self.standing, *self.kept_away], key=decide.order)
        rented = (_seen(self, supply) for supply in self.supplies)
        mine = (Seen(offer, self.block_of(offer)) for offer in standing)
        return heapq.merge(mine, *rented, key=lambda seen: decide.order(seen.offer))

    def block_of(self, offer: Offer) -> Block | None:
        family = backends.family_of(offer.kind, offer.instance)
        return holding(self.blocks.get(offer.backend, ()), offer, family=family)


def nearest(spec: ServiceSpec, supplies: Sequence[Supply]) -> str:
    """Say which row of these supplies comes nearest, and what to change; "" where there is none."""
    near = [(each, supply) for supply in supplies if (each := match.nearest(spec, supply))]
    if not near:
        return ""
    best, supply = min(near, key=lambda each: (len(each[0].lacks), each[0].row.usd_per_hour))
    offer = as_offer(best.row, disk=spec.resources.disk_mib, backend=supply.backend)
    lacks = [(rule.path, rule.otherwise) for rule in best.lacks]
    if len(lacks) == 1:
        # What it has says more than what it has not.
        told = decide.refusal(
            offer, spec, base_image=supply.base_image, gpu_base_image=supply.gpu_base_image
        )
        path, _, words = (told or "").partition(": ")
        lacks = [(path, words)] if path == lacks[0][0] else lacks
    return reasons.nearest(offer, lacks) if lacks else ""


def merged(found: Found, standing: decide.Matches) -> Found:
    """Add what fits: of what stands there already, and the first page of each supply."""
    fits = [offer for offer in standing.offers if found.block_of(offer) is None]
    kept_away = [offer for offer in standing.offers if found.block_of(offer) is not None]
    pages = [match.find(found.spec, supply, limit=FIRST) for supply in found.supplies]
    rented = [
        [offer for row in page.cheapest if _has_zone(found, offer := _offer(found, supply, row))]
        for supply, page in zip(found.supplies, pages, strict=True)
    ]
    prices = [page.max_usd_per_hour for page in pages if page.max_usd_per_hour is not None]
    first = heapq.merge(fits, *rented, key=decide.order)
    return replace(
        found,
        matches=decide.Matches(
            list(islice(first, FIRST if pages else None)), refused=standing.refused
        ),
        total=len(fits) + sum(page.count for page in pages),
        max_price_usd_per_hour=max(
            [*map(float, prices), *(offer.price_usd_per_hour for offer in fits)],
            default=None,
        ),
        standing=fits,
        kept_away=kept_away,
    )


def _rented(found: Found, supply: Supply) -> Iterator[Offer]:
    for row in match.walk(found.spec, supply, page=FIRST):
        offer = _offer(found, supply, row)
        if _has_zone(found, offer):
            yield offer


def _seen(found: Found, supply: Supply) -> Iterator[Seen]:
    for row in match.walk(found.spec, supply.whole, page=FIRST):
        offer = _offer(found, supply.whole, row)
        yield Seen(offer, found.block_of(offer), row)


def _offer(found: Found, supply: Supply, row: CatalogOffer) -> Offer:
    """The offer of a row, with those of its zones that are wanted and not blocked."""
    offer = as_offer(row, disk=found.spec.resources.disk_mib, backend=supply.backend)
    offer = decide.in_zones(offer, found.spec)
    if not any(block.subject.zone for block in supply.blocks):
        return offer
    return replace(offer, zones=open_zones(supply.blocks, offer))


def _has_zone(found: Found, offer: Offer) -> bool:
    """Whether one is left of the zones that are wanted, of which some may be blocked."""
    return bool(offer.zones) or not found.spec.availability_zones
