from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.instances.models import Charge
from apps.runs.models import Run
from apps.telemetry.models import RequestTotal, Traffic
from tests import factories
from tests.people import People, signed_in

LIST = "/projects/main/services/"


def names(answer: Any) -> list[str]:
    return [row.run.name for row in answer.context["listing"].rows]


def test_guides_who_has_deployed_nothing(people: People) -> None:
    page = signed_in(people.bob).get(LIST).content.decode()

    assert "Pick a template that runs right here" in page
    assert "?template=hello" in page


def test_lists_services_newest_first(people: People) -> None:
    factories.run(people.project, name="older")
    factories.run(people.project, name="newer")

    assert names(signed_in(people.bob).get(LIST)) == ["newer", "older"]


def test_shows_only_the_newest_run_of_a_name(people: People) -> None:
    factories.run(people.project, name="hello", state="stopped")
    newest = factories.run(people.project, name="hello", state="failed")

    rows = signed_in(people.bob).get(LIST).context["listing"].rows

    assert [row.run.pk for row in rows] == [newest.pk]


def test_shows_a_run_that_stops_beside_its_successor(people: People) -> None:
    factories.run(people.project, name="hello", state="stopping")
    factories.run(people.project, name="hello", state="running")

    assert names(signed_in(people.bob).get(LIST)) == ["hello", "hello"]


def test_counts_ready_replicas(people: People) -> None:
    run = factories.run(people.project, name="hello", desired_replicas=3)
    factories.replica(run, num=0, state="running")
    factories.replica(run, num=1, state="starting")

    rows = signed_in(people.bob).get(LIST).context["listing"].rows

    assert rows[0].ready == 1


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?state=active", ["live"]),
        ("?state=failed", ["broken"]),
        ("?q=ROK", ["broken"]),
        ("?q=%25", []),
        ("?mine=1", ["broken"]),
        ("?state=look", ["broken"]),
        ("?state=running", ["live"]),
        ("?state=nonsense", ["broken", "live"]),
        ("?sort=name", ["broken", "live"]),
        ("?sort=-name", ["live", "broken"]),
        ("?sort=nonsense", ["broken", "live"]),
        ("?backend=nowhere", []),
        ("?backend=x%00", None),
        ("?q=x%00", None),
    ],
)
def test_narrows_the_list(people: People, query: str, shown: list[str] | None) -> None:
    factories.run(people.project, user=people.alice, name="live")
    factories.run(people.project, user=people.bob, name="broken", state="failed")

    answer = signed_in(people.bob).get(LIST + query)

    assert (names(answer) if answer.status_code == 200 else None) == shown


def test_goes_on_at_the_next_page(people: People) -> None:
    for number in range(60):
        factories.run(people.project, name=f"run-{number:02}")
    client = signed_in(people.bob)

    first, second = client.get(LIST), client.get(f"{LIST}?page=2")

    assert names(first) + names(second) == [f"run-{number:02}" for number in range(59, -1, -1)]
    assert "51–60 of 60" in second.content.decode()


@pytest.mark.parametrize("page", ["x", "'; drop", "0", "-1", "9" * 40, "²", "1e3"])
def test_shows_the_first_page_for_what_is_no_number(people: People, page: str) -> None:
    factories.run(people.project, name="hello")

    assert names(signed_in(people.bob).get(LIST, {"page": page})) == ["hello"]


def test_shows_the_last_page_where_there_are_fewer(people: People) -> None:
    factories.run(people.project, name="hello")

    assert names(signed_in(people.bob).get(LIST, {"page": "7"})) == ["hello"]


@pytest.mark.parametrize("sort", ["state", "-cost"])
def test_the_last_page_of_a_filter_has_only_what_fits(people: People, sort: str) -> None:
    for number in range(60):
        factories.run(people.project, name=f"run-{number:02}", state="stopped")
    factories.run(people.project, name="live")

    answer = signed_in(people.bob).get(LIST, {"state": "running", "page": "2", "sort": sort})

    assert names(answer) == ["live"]
    listing = answer.context["listing"]
    assert (listing.page, listing.total, listing.counts[""]) == (1, 1, 61)


@pytest.mark.parametrize("count", [1, 60])
def test_needs_few_queries_whatever_there_is_to_say(
    people: People, count: int, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    an_hour_ago = now - timedelta(hours=1)
    for number in range(count):
        run = factories.run(people.project, name=f"run-{number:02}")
        machine = factories.instance(people.project, price_usd_per_hour=1, running_at=an_hour_ago)
        ready = factories.replica(run, price_usd_per_hour=1, ready_at=now - timedelta(minutes=5))
        factories.workload(
            machine, replica=ready, spec={"run_name": run.name}, created_at=an_hour_ago
        )
        charge(run, usd=2)
        factories.replica(run, num=1, state="unhealthy")
        traffic(run, at=now - timedelta(minutes=1), by_class=[0, 9, 0, 0, 9], held_max=3)
    client = signed_in(people.bob)
    client.get(LIST)

    with django_assert_max_num_queries(12):
        listing = client.get(LIST).context["listing"]

    assert (listing.total, listing.counts["look"]) == (count, count)
    assert [row.ready for row in listing.rows] == [1] * min(count, 50)
    assert all(2.9 < row.cost.total_usd < 3.2 for row in listing.rows)


def test_renders_the_part_that_htmx_asks_for(people: People) -> None:
    factories.run(people.project, name="hello")

    part = signed_in(people.bob, htmx="services").get(LIST).content.decode()

    assert part.strip().startswith('<div id="services"')
    assert "<html" not in part


def test_a_deleted_run_is_gone(people: People) -> None:
    run = factories.run(people.project, name="hello", state="stopped")
    Run.objects.filter(pk=run.pk).update(deleted_at=run.created_at)

    assert names(signed_in(people.bob).get(LIST)) == []


def test_what_needs_a_look_comes_first_then_what_runs_then_what_sleeps(people: People) -> None:
    factories.run(people.project, name="failed", state="failed", error="no such file")
    retried = factories.run(people.project, name="retried", state="provisioning")
    factories.replica(retried, num=0, state="failed", message="exited with code 1")
    factories.replica(retried, num=0, state="pending", attempt=1)
    unhealthy = factories.run(people.project, name="unhealthy", state="running")
    factories.replica(unhealthy, num=0, state="unhealthy", message="connection refused")
    factories.run(people.project, name="noticed", notice="Version 2 was given up.")
    factories.run(people.project, name="stopped", state="stopped")
    factories.run(people.project, name="asleep", state="idle", desired_replicas=0)
    factories.run(people.project, name="runs")
    starting = factories.run(people.project, name="starts", state="provisioning")
    factories.replica(starting, num=0, state="pending")

    answer = signed_in(people.bob).get(LIST)

    found = {row.run.name: row.why for row in answer.context["listing"].rows}
    assert list(found) == [
        *("noticed", "unhealthy", "retried", "failed"),
        *("starts", "runs", "asleep", "stopped"),
    ]
    assert found["failed"] == "no such file"
    assert found["retried"] == "Not ready, tried again: exited with code 1"
    assert found["unhealthy"].endswith("probe fails: connection refused")
    assert [name for name, why in found.items() if not why] == list(found)[4:]
    assert answer.context["listing"].counts == {
        "": 8, "look": 4, "running": 3, "starting": 2, "asleep": 1, "failed": 1, "stopped": 1,
        "active": 6,
    }  # fmt: skip
    assert "no such file" in answer.content.decode()


def test_says_what_needs_a_look_by_what_was_asked_of_it(people: People) -> None:
    scaling = {**factories.run(people.project, name="other").spec, "scaling": {"target": 1}}
    scaling["replicas"] = {"min": 0, "max": 1}
    now = timezone.now()
    full = factories.run(people.project, name="full", spec=scaling)
    factories.replica(full, ready_at=now - timedelta(minutes=5))
    woken = factories.run(people.project, name="woken", spec=scaling)
    factories.replica(woken, ready_at=now - timedelta(seconds=10))
    for run in (full, woken):
        traffic(run, at=now - timedelta(minutes=1), by_class=[0, 20, 0, 0, 0], held_max=7)
    broken = factories.run(people.project, name="broken")
    traffic(broken, at=now - timedelta(minutes=1), by_class=[0, 10, 0, 0, 5])
    factories.run(factories.project("else"), name="theirs")

    rows = signed_in(people.bob).get(LIST).context["listing"].rows

    assert {row.run.name: row.why for row in rows if row.why} == {
        "full": "At its limit of 1 replica: 7 requests waited",
        "broken": "5 of 15 requests failed (5xx) in the last 15 minutes",
    }


def charge(run: Run, *, usd: int) -> None:
    Charge.objects.create(
        *(), instance_id=run.pk, project=run.project, run_id=run.pk, run_name=run.name,
        day=timezone.now().date(), price_usd_per_hour=usd, microseconds=3_600_000_000,
    )  # fmt: skip


def traffic(run: Run, **fields: Any) -> None:
    """As `ingest` keeps it."""
    made = Traffic.objects.create(run_id=run.pk, seconds=10, **fields)
    if made.held_max or made.by_class[4]:
        RequestTotal.objects.update_or_create(run_id=run.pk, defaults={"bad_at": made.at})


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        *[("-replicas", "two"), ("replicas", "none"), ("-price", "two"), ("price", "one")],
        *[("-requests", "one"), ("requests", "two"), ("-errors", "two"), ("by", "one")],
        *[("-by", "none"), ("age", "none"), ("-age", "two"), ("endpoint", "one"), ("-cost", "two")],
        *[("cost", "one"), ("-p95", "none"), ("state", "two"), ("-state", "none")],
    ],
)
def test_orders_by_each_column(people: People, sort: str, first: str) -> None:
    two = factories.run(people.project, user=people.bob, name="two")
    edge = factories.gateway(name="edge", domain="a.example")
    one = factories.run(people.project, user=people.alice, name="one", gateway=edge)
    factories.run(people.project, user=people.bob, name="none")
    for run, count in ((two, 2), (one, 1)):
        for num in range(count):
            factories.replica(run, num=num, price_usd_per_hour=1)
        charge(run, usd=count)
        at = timezone.now() - timedelta(seconds=15)
        traffic(run, at=at, by_class=[0, 30 // count, 0, 0, count - 1])

    assert names(signed_in(people.bob).get(LIST, {"sort": sort}))[0] == first


def test_shows_what_runs_at_a_backend(people: People) -> None:
    factories.backend(people.project, kind="aws", name="prod")
    factories.backend(people.project, kind="local")
    there = factories.run(people.project, name="there")
    factories.replica(there, backend="prod")
    gone = factories.run(people.project, name="gone")
    factories.replica(gone, backend="prod", state="stopped")

    answer = signed_in(people.bob).get(LIST, {"backend": "prod"})

    assert names(answer) == ["there"]
    assert answer.context["listing"].counts[""] == 1
    assert "Any backend" in answer.content.decode()
