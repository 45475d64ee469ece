"""A project's first page, and which project a new session opens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import projects as management
from apps.accounts.access import Access
from apps.accounts.models import Member, Project, Role, User
from apps.core.models import Event
from apps.instances.models import Charge
from apps.runs import services
from tests import factories
from tests.people import People, signed_in

PAGE = "/projects/main/"


def text(people: People) -> str:
    return signed_in(people.bob).get(PAGE).content.decode()


def test_says_what_was_spent_and_by_whom(people: People, still_clock: datetime) -> None:
    run = factories.run(people.project, name="hello", state="stopped")
    Charge.objects.create(
        instance_id=run.pk,
        project=people.project,
        run_id=run.pk,
        run_name="hello",
        day=still_clock.date(),
        price_usd_per_hour=3,
        microseconds=2 * 3_600_000_000,
    )

    context = signed_in(people.bob).get(PAGE).context

    assert (context["today"].usd, context["month"].total.usd) == (6, 6)
    assert context["forecast_usd"] == 6
    assert [name for name, _ in context["services"]] == ["hello"]


def test_says_what_needs_a_look_and_why(people: People) -> None:
    factories.run(people.project, name="fine")
    factories.run(people.project, name="broken", state="failed", error="no such <b>file</b>")

    page = signed_in(people.bob).get(PAGE)

    assert [row.run.name for row in page.context["looks"]] == ["broken"]
    assert "no such &lt;b&gt;file&lt;/b&gt;" in page.content.decode()


def test_says_what_happened_and_nothing_of_others(people: People) -> None:
    run = factories.run(people.project, name="hello")
    other = factories.run(factories.project("else"), name="theirs")
    for each in (run, other):
        services.stop(access=Access(user=people.root), run=each)

    page = signed_in(people.bob).get(PAGE)

    assert [(name, said.text) for name, said in page.context["happened"]] == [("hello", "Stopping")]
    assert "theirs" not in page.content.decode()


def test_an_empty_project_says_what_to_do(people: People) -> None:
    assert "Deploy a service" in text(people)
    assert Event.objects.count() == 0


def test_needs_few_queries(people: People, django_assert_max_num_queries: Any) -> None:
    for number in range(30):
        factories.run(people.project, name=f"run-{number}", state="failed")
    client = signed_in(people.bob)

    with django_assert_max_num_queries(26):
        client.get(PAGE)


@pytest.fixture
def projects(people: People) -> dict[str, Project]:
    """Bob's: main, alpha and beta."""
    found = {"main": people.project}
    for name in ("alpha", "beta"):
        found[name] = factories.project(name)
        factories.member(found[name], people.bob, role=Role.USER)
    return found


@pytest.mark.parametrize(
    ("mine", "others", "opened"),
    [("", "", "alpha"), ("", "main", "main"), ("main", "beta", "main"), ("alpha", "beta", "alpha")],
)
def test_a_first_session_opens_where_one_deployed_last_else_where_there_are_services(
    people: People, projects: dict[str, Project], mine: str, others: str, opened: str
) -> None:
    if mine:
        factories.run(projects[mine], user=people.bob, state="stopped")
    if others:
        factories.run(projects[others], user=people.alice)

    assert signed_in(people.bob).get("/")["Location"] == f"/projects/{opened}/services/"


def leave(project: Project, user: User) -> None:
    Member.objects.filter(project=project, user=user).delete()


def delete(project: Project, user: User) -> None:
    # The name is free again, and taken by a project of others.
    access = Access(user=factories.user("admin", admin=True))
    management.delete(access=access, project=project, at=timezone.now())
    factories.project("beta")


@pytest.mark.parametrize(
    ("after", "opened"),
    [(None, "beta"), (leave, "main"), (delete, "main")],
    ids=["kept", "left", "deleted"],
)
def test_a_new_session_opens_the_project_used_last_while_one_may_see_it(
    people: People,
    projects: dict[str, Project],
    after: Callable[[Project, User], None] | None,
    opened: str,
) -> None:
    factories.run(projects["main"], user=people.bob)
    before = signed_in(people.bob)
    for name in ("alpha", "beta", "nope"):
        before.get(f"/projects/{name}/services/")
    if after is not None:
        after(projects["beta"], people.bob)
    new = signed_in(User.objects.get(pk=people.bob.pk))

    answer = new.get("/")

    assert answer["Location"] == f"/projects/{opened}/services/"
    assert new.get(answer["Location"]).status_code == 200


def test_each_browser_goes_on_where_it_was(people: People, projects: dict[str, Project]) -> None:
    first, second = signed_in(people.bob), signed_in(people.bob)
    first.get("/projects/alpha/services/")
    second.get("/projects/beta/services/")

    assert [each.get("/")["Location"].split("/")[2] for each in (first, second)] == [
        *("alpha", "beta"),
    ]


def test_what_one_may_not_see_is_not_remembered(people: People) -> None:
    signed_in(people.charlie).get("/projects/main/services/")

    assert User.objects.get(pk=people.charlie.pk).last_project is None
