from __future__ import annotations

import pytest

from apps.runs.pages import ordering
from apps.runs.pages.ordering import COLUMNS, Order

BY_KEY = {column.key: column for column in COLUMNS}


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", Order("state")),
        ("name", Order("name")),
        ("-cost", Order("cost", falling=True)),
        ("--cost", Order("state")),
        ("password", Order("state")),
        ("-", Order("state")),
        ("name\x00", Order("state")),
    ],
)
def test_reads_an_order_and_takes_the_usual_one_for_what_is_none(text: str, order: Order) -> None:
    assert ordering.read(text) == order


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_reads_what_it_writes(column: ordering.Column) -> None:
    order = Order(column.key, falling=True)

    assert ordering.read(str(order)) == order


@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("name", "state", "name"),
        ("name", "name", "-name"),
        ("name", "-name", "name"),
        ("cost", "state", "-cost"),
        ("cost", "-cost", "cost"),
        ("age", "state", "age"),
        ("state", "state", "-state"),
    ],
)
def test_a_click_orders_by_a_column_then_the_other_way(key: str, before: str, after: str) -> None:
    assert str(ordering.after_click(BY_KEY[key], ordering.read(before))) == after


@pytest.mark.parametrize(("falling", "found"), [(False, "bcad"), (True, "acbd")])
def test_what_has_no_value_comes_last_either_way(falling: bool, found: str) -> None:
    values = {"a": 9.0, "b": 0.0, "c": 5.0, "d": None}

    assert "".join(ordering.by_value("abcd", values, falling=falling)) == found


def test_equals_stay_as_they_were() -> None:
    assert ordering.by_value("dacb", dict.fromkeys("abcd", 1.0), falling=True) == list("dacb")
