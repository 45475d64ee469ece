from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.api_state import FakeApi, replica_json
from tests.integration.cli.conftest import Cli

ITEMS = [
    {"day": "2030-01-02", "run": "hello", "idle": True, "hours": 0.5, "cost_usd": 0.6},
    {"day": "2030-01-02", "run": "hello", "idle": False, "hours": 10.0, "cost_usd": 12.0},
    {"day": "2030-01-01", "run": "other", "idle": False, "hours": 1000.0, "cost_usd": 1200.0},
]


def spent(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "since": "2029-12-04",
        "cost_usd": sum(each["cost_usd"] for each in items),
        "idle_usd": 0.6 if items else 0.0,
        "in_use": {"instances": 1, "price_usd_per_hour": 1.2},
        "items": list(items),
    }


def test_shows_what_was_spent_by_run_and_day(cli: Cli, api: FakeApi) -> None:
    api.spend = spent(*ITEMS)

    done = cli("spend", "--days", "7")

    assert [line.rstrip() for line in done.out.splitlines()] == [
        " RUN    HOURS    IDLE     COST",
        " other  1,000.0  -        $1,200.00",
        " hello  10.5     $0.6000  $12.60",
        "",
        " DAY         HOURS    IDLE     COST",
        " 2030-01-02  10.5     $0.6000  $12.60",
        " 2030-01-01  1,000.0  -        $1,200.00",
        "",
        " $1,212.60 since 2029-12-04, $0.6000 of it idle; now $1.2/h, 1 instance.",
    ]
    assert api.seen[-1].query["days"] == ["7"]


def test_says_that_nothing_was_spent(cli: Cli, api: FakeApi) -> None:
    api.spend = spent()
    api.limits = {"max_instances": 4, "max_usd_per_hour": 5.0}

    assert cli("spend").out == (
        " $0 since 2029-12-04, $0 of it idle; now $1.2/h of $5/h, 1 of 4 instances.\n"
    )


def test_gives_it_as_json(cli: Cli, api: FakeApi) -> None:
    api.spend = spent(*ITEMS)

    assert json.loads(cli("spend", "--json").out)["items"] == ITEMS


@pytest.mark.parametrize("days", ["0", "367", "x"])
def test_refuses_a_span_that_is_none(cli: Cli, days: str) -> None:
    assert cli("spend", "--days", days).code == 2


def test_ps_tells_what_runs_and_replicas_cost_when_verbose(cli: Cli, api: FakeApi) -> None:
    replicas = [replica_json(num=num, cost_usd=num + 0.25) for num in (0, 1)]
    api.add_run("hello", replicas=replicas, cost_usd=3.5)

    lines = cli("ps", "-v").out.splitlines()

    assert "PRICE  COST " in lines[0]
    assert [("$3.50" in lines[1]), ("$0.2500" in lines[2]), ("$1.25" in lines[3])] == [True] * 3


def test_sets_and_shows_the_limits_of_a_project(cli: Cli, api: FakeApi) -> None:
    done = cli("project", "limits", "--max-instances", "8", "--max-usd-per-hour", "5.25")
    shown = cli("project", "limits")
    taken = cli("project", "limits", "--max-instances", "none", "--json")

    assert api.bodies("PATCH", "/main")[0] == {"max_instances": "8", "max_usd_per_hour": "5.25"}
    assert done.out == shown.out
    assert "$5.25/h" in shown.out
    assert json.loads(taken.out) == {"max_instances": None, "max_usd_per_hour": 5.25}


def test_shows_and_sets_the_budget_of_a_project(cli: Cli, api: FakeApi) -> None:
    none = cli("project", "budget")
    cli("project", "budget", "--usd-per-month", "100.25")
    kept = cli("project", "budget", "--warn-percent", "90", "--json")
    cli("project", "budget", "--usd-per-month", "none")

    assert [line.rstrip() for line in none.out.splitlines()] == [
        " PROJECT  MONTH    BUDGET     SPENT   LEFT  FORECAST  WARN",
        " main     2030-01  no budget  $12.60  -     $140.00   -",
    ]
    assert json.loads(kept.out)["warn_percent"] == 90
    assert api.bodies("PUT", "/budget") == [
        {"usd_per_month": "100.25"},
        {"usd_per_month": 100.25, "warn_percent": 90},
        {"usd_per_month": None},
    ]


@pytest.mark.parametrize(
    ("state", "words"),
    [("within", "2030-01;"), ("near", "near;"), ("reached", "no machine with a price is made;")],
)
def test_says_what_is_left_of_the_budget(cli: Cli, api: FakeApi, state: str, words: str) -> None:
    api.spend = spent()
    api.budget |= {"usd_per_month": 100.0, "left_usd": 87.4, "state": state}

    said, row = cli("spend").out.splitlines()[-1], cli("project", "budget").out.splitlines()[-1]

    assert said.startswith(" $12.60 of the budget of $100.00 for 2030-01")
    assert said.endswith(f"{words} $87.40 left, $140.00 at this rate.")
    assert row.split() == ["main", "2030-01", "$100.00", "$12.60", "$87.40", "$140.00", "80", "%"]
