"""What a project spent, over HTTP."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.instances.costs import spend
from apps.instances.costs.queries import Spent

router = Router()

MOST_DAYS = 366


class SpentOut(Schema):
    """What a run cost on a day (UTC), or with `idle` what its machines cost after it had left them.
    `hours` are hours of machines."""

    day: datetime.date
    run: str
    idle: bool
    hours: float
    cost_usd: float


class InUseOut(Schema):
    instances: int
    price_usd_per_hour: float


class SpendOut(Schema):
    """`idle_usd` is the part of `cost_usd` for machines without work. `in_use` is what there is
    now; limits of null are none."""

    since: datetime.date
    cost_usd: float
    idle_usd: float
    in_use: InUseOut
    max_instances: int | None
    max_usd_per_hour: float | None
    items: list[SpentOut]
    next_cursor: str | None


@router.get("/projects/{project}/spend", response=SpendOut, summary="What was spent")
def show(
    request: HttpRequest,
    project: str,
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 30,
) -> dict[str, Any]:
    """By run and day, newest day first, of so many days up to today (UTC)."""
    where = accounts.of(request).project(project)
    found = spend.of(where, days=days, at=timezone.now())
    most = where.max_usd_per_hour
    return {
        "since": found.since,
        "cost_usd": spend.rounded(found.total.usd),
        "idle_usd": spend.rounded(found.total.idle_usd),
        "in_use": {
            "instances": found.use.instances,
            "price_usd_per_hour": spend.rounded(found.use.usd_per_hour),
        },
        "max_instances": where.max_instances,
        "max_usd_per_hour": None if most is None else float(most),
        "items": [_json(each) for each in found.items],
        "next_cursor": None,
    }


def _json(spent: Spent) -> dict[str, Any]:
    return {
        "day": spent.day,
        "run": spent.run_name,
        "idle": spent.idle,
        "hours": spend.rounded(spent.hours),
        "cost_usd": spend.rounded(spent.usd),
    }
