"""Whether so many machines at a price lie within what a project may have. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from apps.instances.costs import budgets
from apps.instances.costs.amounts import dollars
from apps.instances.costs.budgets import Budget

WHAT_TO_DO = "ask for less, stop another service, or have an admin of the project raise the limit"


@dataclass(frozen=True)
class Limits:
    """Of the project of this name; None is without a limit."""

    project: str
    max_instances: int | None = None
    max_usd_per_hour: Decimal | None = None
    budget: Budget | None = None


@dataclass(frozen=True)
class Use:
    """`spent_usd` is what was spent in the month of the budget."""

    instances: int = 0
    usd_per_hour: Decimal = Decimal(0)
    spent_usd: Decimal = Decimal(0)


def room(limits: Limits, use: Use, *, price: Decimal) -> int | None:
    """Return how many machines more of this price there may be, None where nothing bounds them."""
    rooms = [0] if _spent_budget(limits, use, price) else []
    if limits.max_instances is not None:
        rooms.append(max(limits.max_instances - use.instances, 0))
    if limits.max_usd_per_hour is not None and price > 0:
        rooms.append(int(max(limits.max_usd_per_hour - use.usd_per_hour, Decimal(0)) // price))
    return min(rooms, default=None)


def refusal(limits: Limits, use: Use, *, count: int, price: Decimal) -> str | None:
    """Say why there may not be `count` machines more of this price, None where there may."""
    there_is = room(limits, use, price=price)
    if there_is is None or count <= there_is:
        return None
    if budget := _spent_budget(limits, use, price):
        return budgets.refusal(budget, use.spent_usd)
    return f"{_need(limits, use, count, price)}: {WHAT_TO_DO}"


def bound(limits: Limits, use: Use, *, price: Decimal) -> str:
    """Say what bounds machines of this price, and how much of it is taken."""
    if budget := _spent_budget(limits, use, price):
        return budgets.used(budget, use.spent_usd)
    said = []
    if limits.max_instances is not None:
        said.append(f"{use.instances} of {_instances(limits.max_instances)}")
    if limits.max_usd_per_hour is not None:
        said.append(f"{dollars(use.usd_per_hour)}/h of {dollars(limits.max_usd_per_hour)}/h")
    return f"the limit of project {limits.project}: {' and '.join(said)} in use"


def what_to_do(limits: Limits, use: Use, *, price: Decimal) -> str:
    """Say what helps where these limits are in the way of a machine of this price."""
    budget = _spent_budget(limits, use, price)
    return budgets.what_to_do(budget) if budget else WHAT_TO_DO


def _spent_budget(limits: Limits, use: Use, price: Decimal) -> Budget | None:
    """The budget, where it is in the way."""
    budget = limits.budget
    if budget is None or price <= 0 or not budgets.is_reached(budget, use.spent_usd):
        return None
    return budget


def _need(limits: Limits, use: Use, count: int, price: Decimal) -> str:
    replicas = "1 replica" if count == 1 else f"{count} replicas"
    needs = "needs" if count == 1 else "need"
    most = limits.max_instances
    if most is not None and use.instances + count > most:
        return (
            f"{replicas} {needs} {_instances(count)}; the limit of project {limits.project} is "
            f"{_instances(most)}, {use.instances} {'is' if use.instances == 1 else 'are'} in use"
        )
    return (
        f"{replicas} of {dollars(price)} {needs} {dollars(price * count)}/h; the limit of project "
        f"{limits.project} is {dollars(limits.max_usd_per_hour or Decimal(0))}/h, "
        f"{dollars(use.usd_per_hour)}/h are in use"
    )


def _instances(count: int) -> str:
    return "1 instance" if count == 1 else f"{count:,} instances"
