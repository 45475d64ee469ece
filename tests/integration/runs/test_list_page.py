from __future__ import annotations

from typing import Any

import pytest

from apps.runs.models import Run
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
        ("?state=nonsense", ["broken", "live"]),
        ("?q=x%00", None),
    ],
)
def test_narrows_the_list(people: People, query: str, shown: list[str] | None) -> None:
    factories.run(people.project, user=people.alice, name="live")
    factories.run(people.project, user=people.bob, name="broken", state="failed")

    answer = signed_in(people.bob).get(LIST + query)

    assert (names(answer) if answer.status_code == 200 else None) == shown


def test_goes_on_at_the_cursor(people: People) -> None:
    for number in range(60):
        factories.run(people.project, name=f"run-{number:02}")
    client = signed_in(people.bob)

    first = client.get(LIST)
    second = client.get(f"{LIST}?cursor={first.context['listing'].next_cursor}")

    assert names(first) + names(second) == [f"run-{number:02}" for number in range(59, -1, -1)]


@pytest.mark.parametrize("cursor", ["x", "'; drop", "0", "9" * 40])
def test_refuses_a_cursor_that_is_none(people: People, cursor: str) -> None:
    assert signed_in(people.bob).get(LIST, {"cursor": cursor}).status_code == 422


def test_needs_few_queries_for_many_runs(
    people: People, django_assert_max_num_queries: Any
) -> None:
    for number in range(60):
        run = factories.run(people.project, name=f"run-{number:02}")
        factories.replica(run, price_usd_per_hour=1)
    client = signed_in(people.bob)

    with django_assert_max_num_queries(14):
        client.get(LIST)


def test_renders_the_part_that_htmx_asks_for(people: People) -> None:
    factories.run(people.project, name="hello")

    part = signed_in(people.bob, htmx="services").get(LIST).content.decode()

    assert part.strip().startswith('<div id="services"')
    assert "<html" not in part


def test_a_deleted_run_is_gone(people: People) -> None:
    run = factories.run(people.project, name="hello", state="stopped")
    Run.objects.filter(pk=run.pk).update(deleted_at=run.created_at)

    assert names(signed_in(people.bob).get(LIST)) == []
