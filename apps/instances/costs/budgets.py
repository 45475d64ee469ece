"""Whether what a project spent lies within its budget of the month, and what to say of it. Pure.

A budget that is reached keeps new machines with a price from being made. What there is goes on:
nothing that serves is ended for money.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from apps.instances.costs.amounts import dollars, dollars_spent


class Standing(StrEnum):
    WITHIN = "within"
    NEAR = "near"
    REACHED = "reached"


@dataclass(frozen=True)
class Budget:
    """What the project of this name may spend in the month (UTC) that begins on `month`; from
    `warn_percent` of it on it is near."""

    project: str
    usd: Decimal
    warn_percent: int
    month: date


def month_of(day: date) -> date:
    """Return the first day of the month."""
    return day.replace(day=1)


def standing(budget: Budget, spent_usd: Decimal) -> Standing:
    """Return how far the budget is used."""
    if is_reached(budget, spent_usd):
        return Standing.REACHED
    is_near = spent_usd * 100 >= budget.usd * budget.warn_percent
    return Standing.NEAR if is_near else Standing.WITHIN


def is_reached(budget: Budget, spent_usd: Decimal) -> bool:
    return spent_usd >= budget.usd


def left_usd(budget: Budget, spent_usd: Decimal) -> Decimal:
    return max(budget.usd - spent_usd, Decimal(0))


def used(budget: Budget, spent_usd: Decimal) -> str:
    """Say how much of it is spent."""
    return (
        f"the budget of project {budget.project} for {budget.month:%B %Y} is "
        f"{dollars(budget.usd)}, {dollars_spent(spent_usd)} are spent"
    )


def what_to_do(budget: Budget) -> str:
    """Say what helps where it is reached."""
    following = month_of(budget.month + timedelta(days=31))
    return (
        f"no machine with a price is made until {following:%B} begins (UTC) or an admin of the "
        "project raises it"
    )


def refusal(budget: Budget, spent_usd: Decimal) -> str:
    """Say why no machine with a price is made."""
    return f"{used(budget, spent_usd)}: {what_to_do(budget)}"


def warning(budget: Budget, spent_usd: Decimal) -> str:
    """Say that it is reached or near, "" where it is neither."""
    found = standing(budget, spent_usd)
    if found is Standing.WITHIN:
        return ""
    said = used(budget, spent_usd)
    if found is Standing.REACHED:
        said = refusal(budget, spent_usd)
    else:
        said += ": once it is reached, no machine with a price is made"
    return f"{said[:1].upper()}{said[1:]}."
