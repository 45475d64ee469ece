"""Offers without running anything."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.offers import queries
from apps.offers.schemas import OfferList
from apps.offers.services import asked_for

router = Router()
MOST = 1000


class Filter(Schema):
    cpu: str | None = None
    memory: str | None = None
    disk: str | None = None
    gpu: str | None = None
    max_price: float | None = None
    spot_policy: str | None = None
    backend: list[str] = []
    region: list[str] = []
    instance_type: list[str] = []
    limit: int = Field(50, ge=1)


@router.get("/projects/{project}/offers", response=OfferList)
def offers(request: HttpRequest, project: str, wish: Query[Filter]) -> dict[str, Any]:
    """What the project's backends have, cheapest first."""
    spec = asked_for(
        cpu=wish.cpu,
        memory=wish.memory,
        disk=wish.disk,
        gpu=wish.gpu,
        max_price=wish.max_price,
        spot_policy=wish.spot_policy,
        backends=wish.backend,
        regions=wish.region,
        instance_types=wish.instance_type,
    )
    found = queries.find(project=accounts.of(request).project(project), spec=spec)
    fitting = found.matches.offers
    return {
        "items": [queries.offer_json(o) for o in fitting[: min(wish.limit, MOST)]],
        "total_offers": len(fitting),
        "max_price_usd_per_hour": found.matches.max_price_usd_per_hour,
        "silent": found.silent,
        "why_none": None if fitting else queries.why_none(found),
        "next_cursor": None,
    }
