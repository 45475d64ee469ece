"""The rows of a supply that nothing blocks, in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from operator import or_

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.backends.base import Scope
from apps.offers.blocks import Subject
from apps.offers.catalog import zones
from apps.offers.catalog.supply import Supply
from apps.offers.models import BlockedOffer, CatalogOffer

WIDE = (Scope.FAMILY_REGION, Scope.SPOT_REGION)


def of(supply: Supply, *, zones_wanted: Sequence[str] = ()) -> QuerySet[CatalogOffer]:
    """Return the rows, each with the memory of all its GPUs as `total`.

    Where zones are wanted, one that is blocked in those that it has of them is blocked.
    """
    rows = CatalogOffer.objects.filter(kind__in=supply.kinds).annotate(
        total=F("gpu_count") * F("gpu_memory_mib")
    )
    if supply.regions:
        rows = rows.filter(region__in=supply.regions)
    subjects = [block.subject for block in supply.blocks]
    scopes = {subject.scope for subject in subjects}
    if Scope.BACKEND in scopes:
        return rows.none()
    rows = rows.exclude(region__in=[each.region for each in subjects if each.scope is Scope.REGION])
    if Scope.OFFER_REGION in scopes:
        rows = rows.exclude(_same(supply))
    wide = [_wide(subject, supply) for subject in subjects if subject.scope in WIDE]
    shut = [*wide, *_without_zones(subjects, supply, zones_wanted)]
    return rows.exclude(reduce(or_, shut)) if shut else rows


def _same(supply: Supply) -> Exists:
    """There may be hundreds of single offers: the database joins them by their hash."""
    blocked = BlockedOffer.objects.filter(
        backend=supply.backend_id,
        until__gt=supply.at,
        scope=Scope.OFFER_REGION,
        region=OuterRef("region"),
        instance_type=OuterRef("instance_type"),
        spot=OuterRef("spot"),
    )
    return Exists(blocked)


def _wide(subject: Subject, supply: Supply) -> Q:
    of_region = Q(region=subject.region, spot=subject.spot)
    if not subject.family:
        return of_region
    which = supply.families.get(subject.family)
    if which is None:
        own = Q(instance_type=subject.family)
        return of_region & (own | Q(instance_type__startswith=f"{subject.family}."))
    return of_region & Q(instance_type__regex=which)


def _without_zones(subjects: list[Subject], supply: Supply, wanted: Sequence[str]) -> list[Q]:
    """Offers that are blocked in each of their zones, or of those that are wanted."""
    kind = supply.kinds[0]
    places = {zones.split(kind, name.lower()) for name in wanted}
    shut: dict[tuple[str, str, bool | None], list[str]] = defaultdict(list)
    for each in subjects:
        letter = zones.short(kind, each.region, each.zone) if each.zone else None
        if letter is not None:
            shut[each.region, each.instance_type, each.spot].append(letter)
    found = []
    for (region, name, spot), letters in shut.items():
        left = [letter for at, letter in places if at == region and letter not in letters]
        open_to = Q(zones__overlap=left) if wanted else ~Q(zones__contained_by=letters)
        found.append(Q(region=region, instance_type=name, spot=spot) & ~open_to & ~Q(zones=[]))
    return found
