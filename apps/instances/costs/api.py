"""What a project spent, over HTTP."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema
from pydantic import Field

from apps.accounts import access as accounts
from apps.accounts import projects
from apps.accounts.models import Project
from apps.instances.costs import spend
from apps.instances.costs.queries import Spent

router = Router()

MOST_DAYS = 366
NO_BUDGET = "none"


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


class BudgetOut(Schema):
    """The project's budget of a month (UTC), `YYYY-MM`, beside what was spent in it; `forecast_usd`
    is what the month will have cost if the machines that run now run on.

    `state` is none, within, near (`warn_percent` of it are spent) or reached: then no machine with
    a price is made. Without a budget `usd_per_month` and `left_usd` are null.
    """

    month: str
    usd_per_month: float | None
    warn_percent: int
    spent_usd: float
    forecast_usd: float
    left_usd: float | None
    state: str


class BudgetIn(Schema):
    """`usd_per_month` null is no budget; `warn_percent` left out stays as it is."""

    usd_per_month: Decimal | None
    warn_percent: int | None = None


class SpendOut(Schema):
    """`idle_usd` is the part of `cost_usd` for machines without work. `in_use` is what there is
    now; limits of null are none, and so is a budget."""

    since: datetime.date
    cost_usd: float
    idle_usd: float
    in_use: InUseOut
    max_instances: int | None
    max_usd_per_hour: float | None
    budget: BudgetOut | None
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
    at = timezone.now()
    found = spend.of(where, days=days, at=at)
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
        "budget": None if where.budget_usd_per_month is None else _budget_json(where, at),
        "items": [_json(each) for each in found.items],
        "next_cursor": None,
    }


@router.get("/projects/{project}/budget", response=BudgetOut, summary="What may be spent")
def show_budget(request: HttpRequest, project: str) -> dict[str, Any]:
    """The budget of this month (UTC), and how much of it is used."""
    return _budget_json(accounts.of(request).project(project), timezone.now())


@router.put("/projects/{project}/budget", response=BudgetOut, summary="Set what may be spent")
def set_budget(request: HttpRequest, project: str, body: BudgetIn) -> dict[str, Any]:
    """For each month (UTC), from this one on; for the project's admins. What there is goes on: a
    budget that is reached keeps new machines with a price from being made."""
    who, at = accounts.of(request), timezone.now()
    where = who.project(project)
    warn = where.budget_warn_percent if body.warn_percent is None else body.warn_percent
    changed = projects.set_budget(
        access=who, project=where, usd_per_month=body.usd_per_month, warn_percent=warn, at=at
    )
    return _budget_json(changed, at)


def _budget_json(project: Project, at: datetime.datetime) -> dict[str, Any]:
    month = spend.of_month(project, at=at)
    use = spend.budget_use(project, at=at, month=month)
    return {
        "month": f"{at:%Y-%m}",
        "usd_per_month": float(use.budget.usd) if use else None,
        "warn_percent": project.budget_warn_percent,
        "spent_usd": spend.rounded(month.total.usd),
        "forecast_usd": spend.rounded(spend.forecast(month, at=at)),
        "left_usd": spend.rounded(use.left_usd) if use else None,
        "state": use.standing if use else NO_BUDGET,
    }


def _json(spent: Spent) -> dict[str, Any]:
    return {
        "day": spent.day,
        "run": spent.run_name,
        "idle": spent.idle,
        "hours": spend.rounded(spent.hours),
        "cost_usd": spend.rounded(spent.usd),
    }
