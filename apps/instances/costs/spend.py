"""What a project spent lately, for its page and the API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

from apps.accounts.models import Project
from apps.instances.costs import budgets, in_use, queries
from apps.instances.costs.budgets import Budget, Standing
from apps.instances.costs.limits import Use
from apps.instances.costs.queries import Spent

HUNDREDTH_OF_A_CENT = Decimal("0.0001")
Key = TypeVar("Key", bound=Hashable)


@dataclass
class Sum:
    """What was spent on something; `idle_usd` is the part of it for machines without work."""

    hours: Decimal = Decimal(0)
    usd: Decimal = Decimal(0)
    idle_usd: Decimal = Decimal(0)

    def add(self, spent: Spent) -> None:
        self.hours += spent.hours
        self.usd += spent.usd
        if spent.idle:
            self.idle_usd += spent.usd


@dataclass(frozen=True)
class Spend:
    """`items` are newest first and grow by `billed_usd_per_hour`; `days` are oldest first and
    without a gap; `runs` dearest first, by name, with what stood idle after them."""

    since: date
    items: Sequence[Spent]
    use: Use
    billed_usd_per_hour: Decimal
    total: Sum = field(default_factory=Sum)
    days: Sequence[tuple[date, Sum]] = ()
    runs: Sequence[tuple[str, Sum]] = ()


@dataclass(frozen=True)
class BudgetUse:
    """A month's budget beside what was spent of it, and will be if what runs now runs on."""

    budget: Budget
    spent_usd: Decimal
    forecast_usd: Decimal

    @property
    def left_usd(self) -> Decimal:
        return budgets.left_usd(self.budget, self.spent_usd)

    @property
    def standing(self) -> Standing:
        return budgets.standing(self.budget, self.spent_usd)

    @property
    def warning(self) -> str:
        return budgets.warning(self.budget, self.spent_usd)


def of(project: Project, *, days: int, at: datetime) -> Spend:
    """Return what the project spent in so many days, the one of `at` included."""
    since = at.date() - timedelta(days=days - 1)
    items = queries.of_project(project, since=since, at=at)
    by_day = _sums(items, lambda each: each.day)
    by_run = _sums(items, lambda each: each.run_name)
    shown = [since + timedelta(days=number) for number in range(days)]
    return Spend(
        since=since,
        items=items,
        use=in_use.of(project),
        billed_usd_per_hour=queries.billed_usd_per_hour(project),
        total=_sums(items, lambda _: 0).get(0, Sum()),
        days=[(day, by_day.get(day, Sum())) for day in shown],
        runs=sorted(by_run.items(), key=lambda pair: (-pair[1].usd, pair[0])),
    )


def forecast(month: Spend, *, at: datetime) -> Decimal:
    """Return what the month of `at` (UTC) will have cost, if the machines that run now run on.

    `month` is what was spent since its first day.
    """
    begin = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + timedelta(days=31)).replace(day=1)
    hours = Decimal((end - at) / timedelta(hours=1))
    return month.total.usd + month.billed_usd_per_hour * hours


def of_month(project: Project, *, at: datetime) -> Spend:
    """Return what the project spent in the month of `at` (UTC)."""
    return of(project, days=at.day, at=at)


def budget_use(project: Project, *, at: datetime, month: Spend | None = None) -> BudgetUse | None:
    """Return how much of its budget the project used, None where it has none.

    `month` is what was spent since its first day, where that is known already.
    """
    budget = in_use.budget_of(project, at=at)
    if budget is None:
        return None
    known = month or of_month(project, at=at)
    return BudgetUse(budget, known.total.usd, forecast(known, at=at))


def rounded(amount: Decimal) -> float:
    """Return dollars for an answer: to a hundredth of a cent, halves up."""
    return float(amount.quantize(HUNDREDTH_OF_A_CENT, ROUND_HALF_UP))


def _sums(items: Iterable[Spent], key: Callable[[Spent], Key]) -> dict[Key, Sum]:
    found: dict[Key, Sum] = defaultdict(Sum)
    for each in items:
        found[key(each)].add(each)
    return dict(found)
