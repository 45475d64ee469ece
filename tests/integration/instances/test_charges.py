"""Booking what machines cost: once, whoever books how often, and for good."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.models import Project
from apps.instances.costs import ledger, queries
from apps.instances.models import Charge, Instance, Workload
from apps.instances.retention import prune
from tests import factories
from tests.integration.runs.test_stored import in_threads

pytestmark = pytest.mark.django_db

BEGAN = datetime(2030, 1, 1, 22, tzinfo=UTC)
PRICE = Decimal("3.6730")


def after(minutes: float) -> datetime:
    return BEGAN + timedelta(minutes=minutes)


def machine(of: Project | None = None, **fields: Any) -> Instance:
    values = {"price_usd_per_hour": PRICE, "running_at": BEGAN, "state_at": BEGAN, **fields}
    values.setdefault("backend_kind", "cloud")
    return factories.instance(of or factories.project(), **values)


def work(
    on: Instance, name: str, begin: float, end: float | None = None, *, run_id: UUID | None = None
) -> Workload:
    over: dict[str, Any] = {"state": "exited", "state_at": after(end)} if end is not None else {}
    more: dict[str, Any] = {"run_id": run_id} if run_id else {}
    made = factories.workload(on, spec={"run_name": name}, created_at=after(begin), **over, **more)
    Workload.objects.filter(pk=made.pk).update(owner_id=made.pk)
    made.refresh_from_db()
    return made


def over(instance: Instance, minutes: float) -> None:
    Instance.objects.filter(pk=instance.pk).update(
        state="terminated", state_at=after(minutes), next_check_at=None
    )


def hours(minutes: float) -> Decimal:
    return Decimal(str(minutes)) / 60


def cost(instance: Instance, minutes: float) -> Decimal:
    return queries.of_instances([instance.pk], at=after(minutes))[instance.pk]


def test_a_machine_costs_its_price_from_when_it_ran_until_it_is_gone() -> None:
    instance = machine()
    replica = work(instance, "hello", -3)

    assert queries.of_replicas([replica.owner_id], at=after(30)) == {replica.pk: PRICE / 2}  # type: ignore[list-item]
    over(instance, 60)
    ledger.book(at=after(600))
    assert queries.of_runs([replica.run_id], at=after(900)) == {replica.run_id: PRICE}


def test_a_machine_that_never_ran_costs_nothing() -> None:
    instance = machine(running_at=None)
    work(instance, "hello", 0)
    ledger.book(at=after(60))

    assert cost(instance, 60) == 0
    assert not Charge.objects.exists()


def test_idle_time_is_the_projects_and_names_the_run_that_left_it() -> None:
    project = factories.project()
    instance = machine(project)
    gone = work(instance, "hello", 0, 20)
    over(instance, 30)
    ledger.book(at=after(31))

    first, second = queries.of_project(project, since=BEGAN.date(), at=after(31))
    assert (first.run_name, first.idle, first.hours) == ("hello", False, hours(20))
    assert (second.run_name, second.idle, second.usd) == ("hello", True, PRICE / 6)
    assert queries.of_runs([gone.run_id], at=after(31)) == {gone.run_id: PRICE / 3}
    assert cost(instance, 31) == PRICE / 2


def test_a_host_at_no_price_is_not_booked() -> None:
    instance = machine(price_usd_per_hour=0, shared=True)
    work(instance, "hello", 0)

    assert ledger.book(at=after(60)) == 0


def test_what_was_spent_is_told_by_day() -> None:
    project = factories.project()
    work(machine(project), "hello", 0)

    days = [
        (each.day.day, each.hours)
        for each in queries.of_project(project, since=BEGAN.date(), at=after(180))
    ]
    assert days == [(2, Decimal(1)), (1, Decimal(2))]


def test_each_project_sees_its_own_alone() -> None:
    work(machine(), "hello", 0)

    assert queries.of_project(factories.project(), since=BEGAN.date(), at=after(60)) == []


@pytest.mark.parametrize("statement", range(1, 12))
def test_a_kill_at_any_statement_of_a_booking_loses_and_doubles_nothing(statement: int) -> None:
    instance = machine()
    work(instance, "one", 0, 10)
    work(instance, "two", 10, 20)
    over(instance, 60)
    number = itertools.count(1)

    def killed(execute: Callable[..., Any], *args: Any) -> Any:
        if next(number) == statement:
            raise KeyboardInterrupt
        return execute(*args)

    with connection.execute_wrapper(killed), pytest.raises(KeyboardInterrupt):
        ledger.book(at=after(61))

    assert not Charge.objects.exists()
    assert cost(instance, 61) == PRICE
    ledger.book(at=after(62))
    ledger.book(at=after(63))
    assert sum(row.microseconds for row in Charge.objects.all()) == 3_600_000_000


@pytest.mark.django_db(transaction=True)
def test_bookings_at_the_same_time_book_once() -> None:
    instance = machine()
    work(instance, "hello", 0)
    over(instance, 60)

    in_threads(lambda _: ledger.book(at=after(61)), 4)

    assert sum(row.microseconds for row in Charge.objects.all()) == 3_600_000_000


def test_what_was_spent_outlives_machines_and_their_work() -> None:
    project = factories.project()
    instance = machine(project)
    work(instance, "hello", 0, 60)
    over(instance, 60)

    prune(at=after(60) + timedelta(days=1000))

    assert not Instance.objects.exists()
    assert not Workload.objects.exists()
    spent = queries.of_project(project, since=BEGAN.date(), at=after(10_000_000))
    assert [(each.run_name, each.usd) for each in spent] == [("hello", PRICE)]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    ends=st.lists(st.integers(1, 500), min_size=1, max_size=4),
    lived=st.integers(1, 3000),
    booked=st.lists(st.integers(-100, 4000), max_size=12),
    price=st.decimals("0.0001", "999", places=4),
    seed=st.integers(0, 1000),
)
def test_the_ledger_is_price_times_time_however_often_and_in_whatever_order_it_is_booked(
    db: None, ends: list[int], lived: int, booked: list[int], price: Decimal, seed: int
) -> None:
    with transaction.atomic():
        instance = machine(price_usd_per_hour=price)
        begin = 0
        for number, length in enumerate(ends):
            work(instance, f"run-{number}", begin, begin + length)
            begin += length + number
        random.Random(seed).shuffle(booked)
        for minute in booked:
            if minute > lived and not Instance.objects.get(pk=instance.pk).is_final:
                over(instance, lived)
            ledger.book(at=after(minute))
        over(instance, lived)
        ledger.book(at=after(5000))
        ledger.book(at=after(4000))

        assert cost(instance, 6000) == price * lived / 60
        rows = Charge.objects.filter(instance_id=instance.pk)
        assert sum(row.microseconds for row in rows) == lived * 60_000_000
        assert not ledger.unsettled().filter(pk=instance.pk).exists()
        transaction.set_rollback(True)
