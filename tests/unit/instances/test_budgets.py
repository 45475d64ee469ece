from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from apps.instances.costs import budgets
from apps.instances.costs.budgets import Budget, Standing

NOVEMBER = Budget("main", Decimal(100), 80, date(2026, 11, 1))


@pytest.mark.parametrize(
    ("usd", "percent", "spent", "found", "left"),
    [
        ("100", 80, "0", "within", "100"),
        ("100", 80, "79.999999", "within", "20.000001"),
        ("100", 80, "80", "near", "20"),
        ("100", 80, "99.999999", "near", "0.000001"),
        ("100", 80, "100", "reached", "0"),
        ("100", 80, "250", "reached", "0"),
        ("100", 100, "99.99", "within", "0.01"),
        ("100", 1, "1", "near", "99"),
        ("0", 80, "0", "reached", "0"),
        ("0.0003", 50, "0.0001", "within", "0.0002"),
        # Of doubles, 0.7 * 0.1 is more than 0.07.
        ("0.1", 70, "0.07", "near", "0.03"),
    ],
)
def test_a_budget_is_near_from_its_share_on_and_reached_at_its_amount(
    usd: str, percent: int, spent: str, found: str, left: str
) -> None:
    budget = replace(NOVEMBER, usd=Decimal(usd), warn_percent=percent)

    assert budgets.standing(budget, Decimal(spent)) == found
    assert budgets.left_usd(budget, Decimal(spent)) == Decimal(left)
    assert bool(budgets.warning(budget, Decimal(spent))) is (found != Standing.WITHIN)


def test_says_what_is_reached_and_until_when() -> None:
    assert budgets.refusal(NOVEMBER, Decimal("100.0399999")) == (
        "the budget of project main for November 2026 is $100, $100.03 are spent: no machine with "
        "a price is made until December begins (UTC) or an admin of the project raises it"
    )


@pytest.mark.parametrize(
    ("month", "following"), [(1, "February"), (2, "March"), (11, "December"), (12, "January")]
)
def test_names_the_month_in_which_it_begins_anew(month: int, following: str) -> None:
    budget = replace(NOVEMBER, month=date(2027, month, 1))

    assert f"until {following} begins" in budgets.what_to_do(budget)


def test_says_that_it_is_near() -> None:
    assert budgets.warning(NOVEMBER, Decimal("80.2")) == (
        "The budget of project main for November 2026 is $100, $80.20 are spent: once it is "
        "reached, no machine with a price is made."
    )
