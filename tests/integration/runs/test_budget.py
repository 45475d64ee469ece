"""A project whose budget is reached gets no machine with a price, and keeps what it has."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import projects
from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.core.errors import Conflict, Invalid
from apps.gateways.machines import verbs
from apps.gateways.machines.verbs import Wanted
from apps.instances.costs import ledger, queries, spend
from apps.instances.models import Charge, Instance
from apps.runs import machine_limits, services
from apps.runs.control import placement
from apps.runs.models import Run
from apps.runs.planning.request import PlanRequest
from apps.telemetry.alerts import queries as alerts
from tests import factories
from tests.integration.runs.clouds import RETRY, YAML, pass_time, submit
from tests.integration.runs.test_costs import served
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

REACHED = "the budget of project cloudy for "


def spent(project: Project, usd: int, *, at: datetime | None = None) -> None:
    """Let the project have spent so much: on the last day of this month, so that a test that goes
    on beyond a day's end finds it there."""
    Charge.objects.create(
        instance_id=factories.run(project, state="stopped", name="before").pk,
        project=project,
        run_name="before",
        day=(at or next_month() - timedelta(days=1)).date(),
        price_usd_per_hour=usd,
        microseconds=3_600_000_000,
    )


def set_budget(owner: Access, project: Project, usd: int | None) -> None:
    projects.set_budget(
        access=owner,
        project=project,
        usd_per_month=None if usd is None else Decimal(usd),
        warn_percent=80,
        at=timezone.now(),
    )


def next_month() -> datetime:
    """When the month ends that lasts for as long as any of these tests and the time it passes."""
    first = (timezone.now() + timedelta(minutes=15)).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return following.replace(hour=0, minute=0, second=0, microsecond=0)


def waits(owner: Access, project: Project) -> Run:
    run = submit(owner, project, RETRY)
    assert not Instance.objects.exists()
    return run


def test_a_plan_is_refused_by_api_and_page_and_says_why(owner: Access, cloudy: Project) -> None:
    spent(cloudy, 100)
    set_budget(owner, cloudy, 100)
    client = Client(headers=factories.token(owner.user).headers)
    body = {"configuration": YAML}

    answer = client.post("/api/projects/cloudy/runs/plan", body, "application/json")
    page = signed_in(owner.user, htmx="plan").post("/projects/cloudy/deploy/", body)

    assert answer.status_code == 422
    for text in (answer.json()["error"]["message"], page.content.decode()):
        assert REACHED in text
        assert "is $100, $100 are spent: no machine with a price is made until" in text


@pytest.mark.parametrize(
    ("usd", "words"), [(101, "once it is reached, no machine"), (1_000, ""), (None, "")]
)
def test_a_plan_within_the_budget_warns_where_it_is_near(
    owner: Access, cloudy: Project, usd: int | None, words: str
) -> None:
    spent(cloudy, 100)
    set_budget(owner, cloudy, usd)

    plan = services.plan(access=owner, project=cloudy, request=PlanRequest(YAML))

    assert [each for each in plan.warnings if "budget" in each] == [
        each for each in plan.warnings if words and words in each
    ]
    assert any(words in each for each in plan.warnings) or not words


def test_what_waits_is_placed_once_the_budget_is_raised(owner: Access, cloudy: Project) -> None:
    spent(cloudy, 100)
    set_budget(owner, cloudy, 100)
    run = waits(owner, cloudy)
    pass_time(120)
    failed = run.replicas.filter(state="failed").first()
    assert failed is not None
    assert (failed.exit_reason, REACHED in failed.message) == ("over-limit", True)
    # Longer ago than what has just looked in vain.
    run.replicas.filter(state="pending").update(
        state_at=timezone.now() - timedelta(minutes=1),
        not_before=timezone.now() + timedelta(hours=1),
    )

    set_budget(owner, cloudy, 101)

    assert run.replicas.filter(state="provisioning").exists()
    assert Instance.objects.count() == 1


def test_what_waits_is_placed_when_the_next_month_begins(owner: Access, cloudy: Project) -> None:
    begins = next_month()
    spent(cloudy, 100, at=begins - timedelta(days=1))
    set_budget(owner, cloudy, 100)
    run = waits(owner, cloudy)
    replica = run.replicas.create(num=1, version=run.version, state="pending")

    placement.place(replica, at=begins - timedelta(microseconds=1))
    assert replica.state == "failed"
    second = run.replicas.create(num=2, version=run.version, state="pending")
    placement.place(second, at=begins)

    assert second.state == "provisioning"


def test_what_runs_goes_on_and_may_not_grow(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    served(run, hours=0)
    set_budget(owner, cloudy, 0)
    # A minute later its agent would be missed.
    pass_time(1, step=1)

    run.refresh_from_db()
    bound = machine_limits.bound_of(run.pk)
    assert not Instance.objects.get().is_final
    assert run.replicas.get().state in ("starting", "running")
    assert bound is not None
    assert (bound.most, REACHED in bound.why) == (1, True)
    with pytest.raises(Invalid, match="hello may have 1 now, found 2: the budget of project"):
        services.scale(access=owner, run=run, replicas="2")
    with pytest.raises(Conflict, match="The gateway's machine would be too much: the budget"):
        verbs.create(
            access=owner,
            project=cloudy,
            wanted=Wanted("example.com", "cloud", "north"),
            at=timezone.now(),
        )


def test_an_idle_machine_is_taken_still(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    served(run, hours=0)
    Instance.objects.update(state="idle", idle_since=timezone.now())
    set_budget(owner, cloudy, 0)
    replica = run.replicas.create(num=1, version=run.version, state="pending")

    placement.place(replica, at=timezone.now())

    assert replica.state == "provisioning"
    assert Instance.objects.count() == 1


def test_what_costs_nothing_is_untouched(alice: Access, project: Project) -> None:
    spent(project, 100)
    set_budget(alice, project, 1)

    run = submit(alice, project, factories.CONFIGURATION)

    assert run.replicas.filter(state="provisioning").exists()
    assert Instance.objects.get().shared


def test_services_that_cost_say_that_the_budget_is_near(owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    served(run, hours=0)
    free = factories.run(cloudy, name="free", state="running")
    factories.replica(free, state="running")
    spent(cloudy, 90)
    set_budget(owner, cloudy, 100)
    run, at = Run.objects.get(pk=run.pk), timezone.now()

    told = [each for each in alerts.of_run(run, at=at) if each.place == "spend"]

    assert len(told) == 1
    assert "is $100, $90" in told[0].text
    assert "budget" not in str(alerts.of_run(free, at=at))
    path = f"/projects/cloudy/services/{run.name}/"
    assert "/projects/cloudy/spend/" in _alerts(owner, path)


def _alerts(owner: Access, path: str) -> str:
    return signed_in(owner.user).get(f"{path}alerts/").content.decode()


@pytest.mark.parametrize("hours", [0.5, 30.0])
def test_what_is_compared_is_what_the_page_shows(
    owner: Access, cloudy: Project, hours: float
) -> None:
    """Booked or not, and nothing of the month before."""
    run = submit(owner, cloudy)
    served(run, hours=hours)
    spent(cloudy, 500, at=timezone.now().replace(day=1) - timedelta(days=1))
    at = timezone.now()
    first = queries.of_month(cloudy, at=at)
    # The page adds up days, each of them rounded to the 28 digits that are kept.
    assert abs(spend.of_month(cloudy, at=at).total.usd - first) < Decimal("0.000001")
    ledger.book(at=at)

    assert abs(queries.of_month(cloudy, at=at) - first) < Decimal("0.000001")
    assert first < 31
