"""Which rows of the catalog fit a service, by SQL: the database has the rows and their indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import add

from django.db.models import Case, Count, F, Max, QuerySet, Value, When
from django.db.models.functions import Abs

from apps.offers.catalog import open_rows
from apps.offers.catalog.rules import Rule, rules
from apps.offers.catalog.supply import Supply
from apps.offers.models import CatalogOffer
from apps.specs.sections.service import ServiceSpec

# As `decide.order`; no two rows are alike in all of these, so that no page has one of another.
ORDER = ("usd_per_hour", "kind", "region", "instance_type", "spot")
LONGEST_PAGE = 1000


@dataclass(frozen=True)
class Fitting:
    """The cheapest offers, how many there are in all, and what the dearest costs an hour."""

    cheapest: Sequence[CatalogOffer]
    count: int
    max_usd_per_hour: Decimal | None


def find(spec: ServiceSpec, supply: Supply, *, limit: int) -> Fitting:
    """Return what fits of a supply, cheapest first; what is blocked is none of it."""
    rows = fitting(spec, supply)
    cheapest = _page(rows, 0, limit)
    if len(cheapest) < limit:
        dearest = cheapest[-1].usd_per_hour if cheapest else None
        return Fitting(cheapest, len(cheapest), dearest)
    return Fitting(cheapest, *_told(rows))


def told(spec: ServiceSpec, supply: Supply) -> tuple[int, Decimal | None]:
    """Return how many fit, and what the dearest of them costs an hour."""
    return _told(fitting(spec, supply))


def _told(rows: QuerySet[CatalogOffer]) -> tuple[int, Decimal | None]:
    said = rows.aggregate(count=Count("pk"), most=Max("usd_per_hour"))
    return said["count"], said["most"]


def walk(spec: ServiceSpec, supply: Supply, *, page: int) -> Iterator[CatalogOffer]:
    """Return all that fits, cheapest first, read in pages that grow."""
    rows, start = fitting(spec, supply), 0
    while found := _page(rows, start, page):
        yield from found
        if len(found) < page:
            return
        start, page = start + page, min(page * 2, LONGEST_PAGE)


def _rules(spec: ServiceSpec, supply: Supply) -> Iterator[Rule]:
    return rules(
        spec,
        backend=supply.backend,
        base_image=supply.base_image,
        gpu_base_image=supply.gpu_base_image,
    )


def fitting(spec: ServiceSpec, supply: Supply) -> QuerySet[CatalogOffer]:
    rows = open_rows.of(supply, zones_wanted=spec.availability_zones)
    for rule in _rules(spec, supply):
        rows = rows.filter(rule.fits)
    return rows


def _page(rows: QuerySet[CatalogOffer], start: int, limit: int) -> list[CatalogOffer]:
    return list(rows.select_related("source").order_by(*ORDER)[start : start + limit])


@dataclass(frozen=True)
class Near:
    """A row to which the least is missing, with what that is: each thing with its path."""

    row: CatalogOffer
    lacks: Sequence[Rule]


def nearest(spec: ServiceSpec, supply: Supply) -> Near | None:
    """Return the row that lacks the fewest things, of these the one that has most nearly as much
    as is asked for, then the cheapest; None where there is no row at all."""
    asked = list(_rules(spec, supply))
    lacks = {
        f"lacks_{n}": Case(When(~each.fits, then=Value(1)), default=Value(0))
        for n, each in enumerate(asked)
    }
    rows = open_rows.of(supply).annotate(**lacks).select_related("source")
    if not asked:
        return None
    first = rows.order_by(reduce(add, map(F, lacks)).asc(), *ORDER).first()
    if first is None:
        return None
    same = {name: getattr(first, name) for name in lacks}
    missing = [each for each, is_missing in zip(asked, same.values(), strict=True) if is_missing]
    far = [Abs(F(each.field) - each.bound) for each in missing if each.field]
    row = rows.filter(**same).order_by(*far, *ORDER).first() if far else first
    return Near(row or first, missing)


def why_not(spec: ServiceSpec, supply: Supply) -> dict[str, int]:
    """Return how many offers of a supply each reason keeps away, most first.

    Each offer counts once, at the first thing that it lacks.
    """
    asked = list(_rules(spec, supply))
    if not asked:
        return {}
    cases = [When(~each.fits, then=Value(n)) for n, each in enumerate(asked)]
    first = Case(*cases, default=None)
    found = (
        open_rows.of(supply)
        .annotate(first=first)
        .exclude(first=None)
        .values("first")
        .annotate(count=Count("pk"))
        .order_by("-count")
    )
    return {
        f"{asked[row['first']].path}: {asked[row['first']].otherwise}": row["count"]
        for row in found
    }
