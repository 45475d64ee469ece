"""What a project spent, as its page and the API say it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.instances.costs.spend import of
from apps.instances.costs.views import HEIGHT, bars
from apps.instances.models import Charge, Instance
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db

PAGE = "/projects/main/spend/"


@pytest.fixture
def hello(people: People) -> Instance:
    """A machine of $2/h that `hello` had for three hours, and that has been idle for one."""
    at = timezone.now()
    run = factories.run(people.project, name="hello")
    instance = factories.instance(
        people.project,
        backend_kind="cloud",
        state="idle",
        price_usd_per_hour=2,
        running_at=at - timedelta(hours=4),
    )
    factories.workload(
        instance,
        run_id=run.pk,
        spec={"run_name": "hello"},
        state="exited",
        created_at=at - timedelta(hours=4),
        state_at=at - timedelta(hours=1),
    )
    return instance


def api(people: People, query: str = "") -> Any:
    client = Client(headers=factories.token(people.bob).headers)
    return client.get(f"/api/projects/main/spend{query}")


def test_tells_what_was_spent_and_what_is_in_use(people: People, hello: Instance) -> None:
    found = api(people).json()

    # It grows on while the test runs.
    assert found["cost_usd"] == pytest.approx(8, abs=0.2)
    assert found["idle_usd"] == pytest.approx(2, abs=0.2)
    assert found["in_use"] == {"instances": 1, "price_usd_per_hour": 2.0}
    assert {(each["run"], each["idle"]) for each in found["items"]} == {
        ("hello", False),
        ("hello", True),
    }
    assert sum(each["hours"] for each in found["items"]) == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("days", ["0", "-1", "367", "x", "1e9", ""])
def test_refuses_a_span_that_is_none(people: People, days: str) -> None:
    answer = api(people, f"?days={days}")

    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_the_page_shows_days_services_and_limits(people: People, hello: Instance) -> None:
    people.project.max_usd_per_hour = Decimal("7.5")
    people.project.save()

    page = signed_in(people.bob).get(PAGE).content.decode()

    assert page.count("<title>") == 31
    assert "of $7.5/h" in page
    assert "/projects/main/services/hello/" in page
    assert 'data-cost-per-hour="2.00000000"' in page


@pytest.mark.parametrize(
    ("usd", "state", "words"),
    [("100", "within", ""), ("9", "near", "once it is reached"), ("2.5", "reached", "no machine")],
)
def test_pages_and_api_show_the_budget_beside_what_was_spent(
    people: People, still_clock: datetime, usd: str, state: str, words: str
) -> None:
    project = people.project
    Charge.objects.create(
        instance_id=factories.run(project, name="hello", state="stopped").pk,
        project=project,
        day=still_clock.date(),
        price_usd_per_hour=8,
        microseconds=3_600_000_000,
    )
    project.budget_usd_per_month = Decimal(usd)
    project.budget_warn_percent = 99 if state == "within" else 1
    project.save()

    found = api(people).json()["budget"]
    pages = [signed_in(people.bob).get(each).content.decode() for each in (PAGE, "/projects/main/")]

    assert (found["state"], found["usd_per_month"]) == (state, float(usd))
    assert (found["spent_usd"], found["forecast_usd"]) == (8, 8)
    assert found["left_usd"] == max(float(usd) - 8, 0)
    for page in pages:
        assert "Budget of " in page
        assert ("The budget of project main" in page) is bool(words)
        assert words in page


@pytest.mark.parametrize("query", ["", "?days=7", "?days=banana"])
def test_the_page_of_a_project_that_spent_nothing_says_so(people: People, query: str) -> None:
    answer = signed_in(people.bob).get(PAGE + query)

    assert answer.status_code == 200
    assert "Nothing was spent" in answer.content.decode()


def test_a_bar_is_as_high_as_its_day_was_dear(people: People, hello: Instance) -> None:
    drawn = bars(of(people.project, days=7, at=timezone.now()))

    assert len(drawn) == 7
    assert max(bar.height for bar in drawn) == HEIGHT
    assert all(bar.idle_height + bar.used_height == bar.height for bar in drawn)
    assert [bar.left for bar in drawn] == sorted(bar.left for bar in drawn)


def test_pages_of_services_and_instances_tell_the_cost(people: People, hello: Instance) -> None:
    client = signed_in(people.bob)

    assert "$6.00" in client.get("/projects/main/services/").content.decode()
    # Idle, it costs on while the test runs.
    assert re.search(
        r"\$8\.[0-2]\d so far", client.get("/projects/main/instances/").content.decode()
    )
    assert "$6.00" in client.get("/projects/main/services/hello/").content.decode()
