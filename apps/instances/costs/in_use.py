"""What a project has of machines now, and whether it may have one more.

Machines that we made for it count from when they are asked for until they are gone; a host that was
there before us does not, and what costs nothing counts as no money, nor is it kept by a budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import Count, Q, QuerySet, Sum

from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.base import Offer
from apps.backends.registry import PROVIDERS
from apps.instances import states
from apps.instances.costs import budgets, queries
from apps.instances.costs.budgets import Budget
from apps.instances.costs.limits import Limits, Use, refusal
from apps.instances.models import Instance

LIMITED = Q(max_instances__isnull=False) | Q(max_usd_per_hour__isnull=False)
BUDGETED = Q(budget_usd_per_month__isnull=False)


class OverLimit(Exception):
    """The project may have no such machine beside those that it has."""


@dataclass(frozen=True)
class Idle:
    """A machine that waits for work, by what an offer of it says."""

    region: str
    instance: str
    spot: bool


def limits_of(project: Project, *, at: datetime) -> Limits | None:
    """Return what bounds the machines that are made for the project, None where nothing does."""
    budget = budget_of(project, at=at)
    if project.max_instances is None and project.max_usd_per_hour is None and budget is None:
        return None
    return Limits(project.name, project.max_instances, project.max_usd_per_hour, budget)


def budget_of(project: Project, *, at: datetime) -> Budget | None:
    """Return the project's budget of the month of `at` (UTC), None where it has none."""
    usd = project.budget_usd_per_month
    if usd is None:
        return None
    month = budgets.month_of(at.astimezone(UTC).date())
    return Budget(project.name, usd, project.budget_warn_percent, month)


def budget_warning(project: Project, *, at: datetime) -> str:
    """Say that the project's budget is reached or near, "" where it is neither."""
    budget = budget_of(project, at=at)
    return budgets.warning(budget, queries.of_month(project, at=at)) if budget else ""


def within(project: Project, limits: Limits, *, at: datetime) -> Use:
    """Return how much of its limits the project uses."""
    return replace(of(project), spent_usd=_spent(project, limits, at=at))


def of(project: Project) -> Use:
    """Return what the project has of machines that were made for it."""
    found = _made_for(project).aggregate(count=Count("pk"), usd=Sum("price_usd_per_hour"))
    return Use(found["count"], found["usd"] or Decimal(0))


def idle(project: Project) -> list[Idle]:
    """Return the project's machines that wait for work: they are taken before one is made."""
    rows = _made_for(project).filter(state=states.IDLE)
    return [Idle(*row) for row in rows.values_list("region", "instance_type", "offer__spot")]


def idle_named(project: Project, offers: Iterable[Offer], *, zones: Sequence[str]) -> list[str]:
    """Return the names of the idle machines that one of these offers would be given, in the order
    in which they are taken."""
    rows = _made_for(project).filter(state=states.IDLE, interrupted_at=None)
    if zones:
        rows = rows.filter(zone__in=zones)
    told = rows.order_by("idle_since").values_list(
        "name", "backend__name", "region", "instance_type", "offer__spot"
    )
    known = {(each.backend, each.region, each.instance, each.spot) for each in offers}
    return [name for name, *place in told if tuple(place) in known]


def kind_of(offer: Offer) -> Idle:
    """Return what an idle machine of this offer would be."""
    return Idle(offer.region, offer.instance, offer.spot)


def makes_a_machine(offer: Offer) -> bool:
    """Tell whether to take an offer is to have a machine made, where none is idle."""
    return not offer.shared and not backends.is_standing(offer.kind or offer.backend)


def require(project: Project, offer: Offer, *, at: datetime) -> None:
    """Raise OverLimit where the project may not have the machine of this offer, too.

    Call it in the transaction that asks for the machine: of workers that ask at the same time each
    sees what the one before it took.
    """
    if not makes_a_machine(offer):
        return
    rows = Project.objects.filter(pk=project.pk)
    found = rows.filter(LIMITED | BUDGETED).first()
    limits = limits_of(found, at=at) if found else None
    if limits is None:
        return
    # Before the lock: what is spent, nobody who asks at the same time changes.
    spent = _spent(project, limits, at=at)
    limits = limits_of(rows.select_for_update(no_key=True).get(), at=at)
    if limits is None:
        return
    price = Decimal(str(offer.price_usd_per_hour))
    if said := refusal(limits, replace(of(project), spent_usd=spent), count=1, price=price):
        raise OverLimit(said)


def _spent(project: Project, limits: Limits, *, at: datetime) -> Decimal:
    """What the budget is compared with: nothing is counted where there is none."""
    return queries.of_month(project, at=at) if limits.budget else Decimal(0)


def _made_for(project: Project) -> QuerySet[Instance]:
    standing = [kind for kind in PROVIDERS if backends.is_standing(kind)]
    live = Instance.objects.filter(project=project, state__in=states.INSTANCE.unfinished)
    return live.filter(shared=False).exclude(backend_kind__in=standing)
