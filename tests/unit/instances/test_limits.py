from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from apps.instances.costs import budgets, limits
from apps.instances.costs.budgets import Budget
from apps.instances.costs.limits import Limits, Use, refusal, room

PRICE = Decimal("3.673")
MONEY = Limits("main", None, Decimal(5))
COUNT = Limits("main", 3)
BUDGET = Budget("main", Decimal(100), 80, date(2026, 11, 1))
MONTH = Limits("main", 3, Decimal(50), BUDGET)


def spent(usd: str, instances: int = 0) -> Use:
    return Use(instances, Decimal(0), Decimal(usd))


@pytest.mark.parametrize(
    ("bound", "use", "price", "left"),
    [
        (Limits("main"), Use(900, Decimal(900)), PRICE, None),
        (MONEY, Use(), PRICE, 1),
        (MONEY, Use(1, Decimal("1.327")), PRICE, 1),
        (MONEY, Use(1, Decimal("1.3271")), PRICE, 0),
        (MONEY, Use(9, Decimal(9)), PRICE, 0),
        (MONEY, Use(9, Decimal(9)), Decimal(0), None),
        (COUNT, Use(2, Decimal(9)), PRICE, 1),
        (COUNT, Use(4, Decimal(9)), Decimal(0), 0),
        (Limits("main", 9, Decimal(5)), Use(2), Decimal(1), 5),
        (Limits("main", 3, Decimal(50)), Use(2), Decimal(1), 1),
        (Limits("main", None, Decimal(0)), Use(), Decimal("0.0001"), 0),
        (Limits("main", budget=BUDGET), spent("99.9999", 900), PRICE, None),
        (Limits("main", budget=BUDGET), spent("100"), PRICE, 0),
        (Limits("main", budget=BUDGET), spent("100"), Decimal(0), None),
        (MONTH, spent("99", 1), PRICE, 2),
        (MONTH, spent("101", 1), PRICE, 0),
        (MONTH, spent("101", 1), Decimal(0), 2),
    ],
)
def test_there_is_room_up_to_the_limit(
    bound: Limits, use: Use, price: Decimal, left: int | None
) -> None:
    assert room(bound, use, price=price) == left


def test_says_what_is_needed_and_what_is_taken() -> None:
    assert refusal(MONEY, Use(2, Decimal("1.2")), count=2, price=PRICE) == (
        "2 replicas of $3.673 need $7.346/h; the limit of project main is $5/h, $1.20/h are in "
        "use: ask for less, stop another service, or have an admin of the project raise the limit"
    )
    assert (refusal(COUNT, Use(3), count=1, price=PRICE) or "").startswith(
        "1 replica needs 1 instance; the limit of project main is 3 instances, 3 are in use: "
    )
    assert refusal(COUNT, Use(2), count=1, price=PRICE) is None


def test_says_how_much_of_both_limits_is_taken() -> None:
    both = Limits("main", 3, Decimal(5))

    assert limits.bound(both, Use(1, PRICE), price=PRICE) == (
        "the limit of project main: 1 of 3 instances and $3.673/h of $5/h in use"
    )


def test_a_reached_budget_is_named_before_other_limits_where_it_is_in_the_way() -> None:
    full = spent("101", 3)
    said = budgets.refusal(BUDGET, full.spent_usd)

    assert refusal(MONTH, full, count=1, price=PRICE) == said
    assert refusal(MONTH, full, count=0, price=PRICE) is None
    assert "3 instances" in (refusal(MONTH, full, count=1, price=Decimal(0)) or "")
    assert said == ": ".join(
        each(MONTH, full, price=PRICE) for each in (limits.bound, limits.what_to_do)
    )
    assert limits.what_to_do(MONTH, full, price=Decimal(0)) == limits.WHAT_TO_DO
    assert "3 of 3 instances" in limits.bound(MONTH, full, price=Decimal(0))
