"""Offers without running anything."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.core.errors import Invalid
from apps.offers.lists import groups, listing
from apps.offers.lists.wishes import asked_for
from apps.offers.schemas import GroupList, OfferList
from apps.specs.sections.service import ServiceSpec

router = Router()
MOST = 1000
# Short for `spot_policy`, which may also be `auto`.
SPOT = {True: "spot", False: "on-demand"}
# Who reads further asks for less.
MOST_START = 100_000


class Filter(Schema):
    cpu: str | None = None
    memory: str | None = None
    disk: str | None = None
    gpu: str | None = None
    max_price: float | None = None
    spot: bool | None = None
    spot_policy: str | None = None
    backend: list[str] = []
    region: list[str] = []
    instance_type: list[str] = []
    all: bool = False
    limit: int = Field(50, ge=1)
    cursor: str | None = None


@router.get("/projects/{project}/offers", response=OfferList)
def offers(request: HttpRequest, project: str, wish: Query[Filter]) -> dict[str, Any]:
    """What the project's backends have, cheapest first; `all` adds clouds not connected to it."""
    where = accounts.of(request).project(project)
    start, limit = _start(wish.cursor), min(wish.limit, MOST)
    look = listing.every if wish.all else listing.connected
    found = look(project=where, spec=_spec(wish), start=start, limit=limit)
    end = start + len(found.items)
    return {
        "items": [listing.listed_json(each) for each in found.items],
        "total_offers": found.total,
        "max_price_usd_per_hour": found.max_price_usd_per_hour,
        "silent": found.found.unavailable,
        "why_none": found.why_none,
        "why_not": [] if start else listing.counted(found),
        "note": found.note or None,
        "next_cursor": str(end) if found.items and end < found.total else None,
    }


@router.get("/projects/{project}/offers/groups", response=GroupList)
def offer_groups(
    request: HttpRequest, project: str, wish: Query[Filter], group_by: str = "gpu"
) -> dict[str, Any]:
    """The same offers by GPU, backend or region, with the range of prices of each."""
    found = groups.grouped(
        project=accounts.of(request).project(project),
        spec=_spec(wish),
        by=groups.keys(group_by),
        every=wish.all,
    )
    return {"items": [groups.group_json(group) for group in found], "next_cursor": None}


def _spec(wish: Filter) -> ServiceSpec:
    return asked_for(
        cpu=wish.cpu,
        memory=wish.memory,
        disk=wish.disk,
        gpu=wish.gpu,
        max_price=wish.max_price,
        spot_policy=wish.spot_policy or (None if wish.spot is None else SPOT[wish.spot]),
        backends=wish.backend,
        regions=wish.region,
        instance_types=wish.instance_type,
    )


def _start(cursor: str | None) -> int:
    """Raise Invalid for a cursor that no answer gave."""
    if cursor is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,6}", cursor) or int(cursor) > MOST_START:
        raise Invalid("cursor: use the next_cursor of an answer.")
    return int(cursor)
