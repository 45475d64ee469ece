"""What bounds a project and its people, and how a project ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.accounts import projects, queries, services, tokens
from apps.accounts.access import Access
from apps.accounts.models import Member, Project, Token, User
from apps.backends.models import Backend
from apps.core.errors import AppError, Conflict, Forbidden, Invalid
from apps.gateways.models import Publication
from apps.runs.models import Run
from tests import factories
from tests.people import People, signed_in

DELETE = "/projects/main/delete/"


def api(user: User, **headers: str) -> Client:
    return Client(headers={**factories.token(user).headers, **headers})


def test_bounds_how_many_projects_a_user_adds(people: People, settings: Any) -> None:
    settings.DSTACK_PROJECTS_PER_USER = 2
    for name in ("a", "b"):
        services.create_project(name=name, creator=people.bob)
    words = "You have added 2 projects, and 2 is the most for one user"

    answer = api(people.bob).post("/api/projects", {"name": "c"}, "application/json")
    page = signed_in(people.bob).post("/new-project/", {"name": "c"})

    assert answer.status_code == 409
    assert words in answer.json()["error"]["message"]
    assert page.status_code == 422
    assert words in page.content.decode()
    assert not Project.objects.filter(name="c").exists()


def test_neither_an_admin_of_the_server_nor_others_projects_count(
    people: People, settings: Any
) -> None:
    settings.DSTACK_PROJECTS_PER_USER = 1
    services.create_project(name="a", creator=people.root)
    services.create_project(name="b", creator=people.root)
    services.set_member(project=Project.objects.get(name="b"), username="bob", role="admin")

    assert services.create_project(name="c", creator=people.bob).created_by == people.bob


def test_a_deleted_project_makes_room(people: People, settings: Any) -> None:
    settings.DSTACK_PROJECTS_PER_USER = 1
    made = services.create_project(name="a", creator=people.bob)

    projects.delete(access=Access(people.bob), project=made, at=timezone.now())

    assert services.create_project(name="a", creator=people.bob).name == "a"


def test_bounds_how_many_tokens_a_user_has(people: People, settings: Any) -> None:
    settings.DSTACK_TOKENS_PER_USER = 2
    client = api(people.bob)
    expired = timezone.now() - timedelta(days=1)
    factories.token(people.bob, expires_at=expired)
    factories.token(people.bob, revoked_at=expired)
    factories.token(people.bob)
    words = "You have 2 tokens that work, and 2 is the most for one user"

    answer = client.post("/api/tokens", {"name": "more"}, "application/json")
    sent = {"name": "more", "scope": "full", "where": "project", "runs": "", "expires": "30d"}
    page = signed_in(people.bob).post("/projects/main/tokens/", sent)

    assert answer.status_code == 409
    assert words in answer.json()["error"]["message"]
    assert words in page.content.decode()


def at_once(times: int, work: Callable[[int], object]) -> int:
    """Do it in as many threads; return how many were not refused."""
    done: list[int] = []
    start = threading.Barrier(times)

    def one(number: int) -> None:
        try:
            start.wait()
            work(number)
            done.append(number)
        except AppError:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(done)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["project", "token"])
def test_a_burst_does_not_pass_the_bound(settings: Any, kind: str) -> None:
    settings.DSTACK_PROJECTS_PER_USER = settings.DSTACK_TOKENS_PER_USER = 2
    bob = factories.user("bob")
    made: dict[str, Callable[[int], object]] = {
        "project": lambda n: services.create_project(name=f"p{n}", creator=bob),
        "token": lambda n: tokens.create_own_token(
            access=Access(bob), request=tokens.TokenRequest(name=str(n))
        ),
    }

    assert at_once(6, made[kind]) == 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [(500, 200), (None, 200), (1, 200), (0, 422), (-1, 422), (10_001, 422), (10**30, 422)]
    + [("many", 422), ("../", 422), ([], 422), (1.5, 422), ({}, 422)],
)
def test_an_admin_of_the_server_sets_the_limit_of_replicas(
    people: People, sent: object, status: int
) -> None:
    answer = api(people.root).patch(
        "/api/projects/main", {"replicas_limit": sent}, "application/json"
    )

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["replicas_limit"] == (100 if sent is None else sent)
        assert Project.objects.get(name="main").replicas_limit == sent


def test_the_page_sets_it_for_admins_of_the_server_only(people: People) -> None:
    path = "/projects/main/settings/"

    seen = signed_in(people.alice).get(path).content.decode()
    refused = signed_in(people.alice).post(path, {"replicas_limit": "500"})
    wrong = signed_in(people.root).post(path, {"replicas_limit": "-1"})
    signed_in(people.root).post(path, {"replicas_limit": "500"})

    assert "may have 100 replicas at most" in seen
    assert "Set limit" not in seen
    assert refused.status_code == 403
    assert wrong.status_code == 422
    assert "must be from 1 to 10,000" in wrong.content.decode()
    assert Project.objects.get(name="main").replicas_limit == 500


def test_deletes_a_project_and_gives_its_name_free(people: People) -> None:
    old, over = people.project, factories.run(people.project, state="stopped")
    bound = factories.token(people.alice, project=old)
    factories.gateway(old)
    Backend.objects.create(project=old, name="local", kind="local", config="")

    assert api(people.alice).delete("/api/projects/main").status_code == 204

    new = services.create_project(name="main", creator=people.bob)
    assert new.pk != old.pk
    assert [each.name for each in Access(people.root).projects()] == ["main"]
    assert not Access(people.alice).projects().exists()
    assert not Member.objects.filter(project=old).exists()
    assert not Publication.objects.filter(project=old).exists()
    assert not Backend.objects.filter(project=old, closed_at=None).exists()
    assert Run.objects.get(pk=over.pk).deleted_at is not None
    assert Token.objects.get(pk=bound.row.pk).revoked_at is not None
    opened = {each for grant in queries.callable_tokens() for each in grant.project_ids}
    assert old.pk not in opened


def test_a_token_of_a_deleted_project_opens_nothing(people: People) -> None:
    of_root = factories.token(people.root, project=people.project)

    projects.delete(access=Access(people.alice), project=people.project, at=timezone.now())

    assert Client(headers=of_root.headers).get("/api/projects").status_code == 401


@pytest.mark.parametrize("state", ["submitted", "running", "idle", "stopping"])
def test_keeps_a_project_whose_services_are_not_over(people: People, state: str) -> None:
    factories.run(people.project, name="hello", state=state)
    words = "Services of project main are not over: hello. Stop them first."

    answer = api(people.alice).delete("/api/projects/main")
    page = signed_in(people.alice).post(DELETE, {"typed": "main"})

    assert (answer.status_code, answer.json()["error"]["message"]) == (409, words)
    assert words in page.content.decode()
    assert Project.objects.filter(name="main").exists()


@pytest.mark.parametrize(("shared", "deleted"), [(True, True), (False, False)])
def test_waits_for_machines_that_are_the_projects_alone(
    people: People, shared: bool, deleted: bool
) -> None:
    factories.instance(people.project, name="gpu-1", shared=shared)

    if deleted:
        projects.delete(access=Access(people.alice), project=people.project, at=timezone.now())
    else:
        with pytest.raises(Conflict, match="Machines of project main have not ended: gpu-1"):
            projects.delete(access=Access(people.alice), project=people.project, at=timezone.now())


def test_the_page_asks_for_the_name(people: People) -> None:
    client = signed_in(people.alice)

    asked = client.get(DELETE).content.decode()
    wrong = client.post(DELETE, {"typed": "mein"})
    assert Project.objects.filter(name="main").exists()
    done = client.post(DELETE, {"typed": "main"}, follow=True)

    assert "Delete project main?" in asked
    assert wrong.status_code == 422
    assert "not the name of the project" in wrong.content.decode()
    assert "Project main is deleted." in done.content.decode()
    assert not Project.objects.filter(name="main").exists()


def test_only_admins_of_the_project_may(people: People) -> None:
    assert signed_in(people.bob).get(DELETE).status_code == 403
    assert signed_in(people.bob).post(DELETE, {"typed": "main"}).status_code == 403
    assert signed_in(people.charlie).get(DELETE).status_code == 404
    with pytest.raises(Forbidden):
        projects.delete(access=Access(people.bob), project=people.project, at=timezone.now())


def test_deleting_twice_at_once_deletes_once(people: People) -> None:
    access, at = Access(people.alice), timezone.now()
    projects.delete(access=access, project=people.project, at=at)

    with pytest.raises(AppError):
        projects.delete(access=Access(people.root), project=people.project, at=at)


@pytest.mark.parametrize("limit", [0, 10_001])
def test_the_limit_has_bounds_itself(people: People, limit: int) -> None:
    with pytest.raises(Invalid, match="from 1 to 10,000"):
        projects.set_replicas_limit(access=Access(people.root), project=people.project, limit=limit)


SETTINGS, BUDGET = "/projects/main/settings/", "/api/projects/main/budget"


def test_an_admin_of_a_project_bounds_its_machines_by_api_and_page(people: People) -> None:
    changed = api(people.alice).patch(
        "/api/projects/main", {"max_usd_per_hour": 5.25}, "application/json"
    )
    page = signed_in(people.alice).post(SETTINGS, {"max_instances": "3", "max_usd_per_hour": "100"})
    shown = signed_in(people.alice).get(SETTINGS).content.decode()

    assert changed.json()["max_usd_per_hour"] == 5.25
    assert changed.json()["max_instances"] is None
    assert page.status_code == 302
    project = Project.objects.get(name="main")
    assert (project.max_instances, project.max_usd_per_hour) == (3, Decimal(100))
    assert 'value="100"' in shown


def test_what_a_change_leaves_out_stays(people: People) -> None:
    client = api(people.alice)
    client.patch("/api/projects/main", {"max_instances": 3}, "application/json")
    client.patch("/api/projects/main", {"max_usd_per_hour": 5}, "application/json")
    client.patch("/api/projects/main", {"max_instances": None}, "application/json")

    project = Project.objects.get(name="main")
    assert (project.max_instances, project.max_usd_per_hour) == (None, Decimal(5))
    assert client.patch("/api/projects/main", {}, "application/json").status_code == 422


def test_the_limits_on_machines_are_for_the_admins_of_the_project(people: People) -> None:
    limits = {"max_instances": 3, "max_usd_per_hour": 5}

    assert (
        api(people.bob).patch("/api/projects/main", limits, "application/json").status_code == 403
    )
    assert signed_in(people.bob).post(SETTINGS, limits).status_code == 403
    assert Project.objects.get(name="main").max_instances is None
    assert "There is no limit" in signed_in(people.bob).get(SETTINGS).content.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_instances", -1),
        ("max_instances", 100_001),
        ("max_instances", 10**30),
        ("max_instances", 1.5),
        ("max_instances", "many"),
        ("max_usd_per_hour", -0.01),
        ("max_usd_per_hour", 100_001),
        ("max_usd_per_hour", "1e99"),
        ("max_usd_per_hour", "NaN"),
        ("max_usd_per_hour", "Infinity"),
        ("max_usd_per_hour", "1.00001"),
        ("max_usd_per_hour", "$5; rm -rf ../"),
        ("max_usd_per_hour", "5\x00"),
    ],
)
def test_a_limit_that_is_none_is_refused_by_api_and_page(
    people: People, name: str, value: Any
) -> None:
    sent = {"max_instances": "", "max_usd_per_hour": "", name: value}

    answer = api(people.alice).patch("/api/projects/main", {name: value}, "application/json")
    page = signed_in(people.alice).post(SETTINGS, sent)

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]
    assert page.status_code == 422
    project = Project.objects.get(name="main")
    assert (project.max_instances, project.max_usd_per_hour) == (None, None)


def test_an_admin_of_a_project_sets_its_budget_by_api_and_page(people: People) -> None:
    client = api(people.alice)
    changed = client.put(BUDGET, {"usd_per_month": "500.25"}, "application/json").json()
    page = signed_in(people.alice).post(SETTINGS, {"usd_per_month": "750", "warn_percent": "90"})
    shown = signed_in(people.alice).get(SETTINGS).content.decode()
    kept = client.put(BUDGET, {"usd_per_month": 750}, "application/json").json()
    gone = client.put(BUDGET, {"usd_per_month": None}, "application/json").json()

    assert (changed["usd_per_month"], changed["left_usd"]) == (500.25, 500.25)
    assert (changed["warn_percent"], changed["state"]) == (80, "within")
    assert page.status_code == 302
    assert 'value="750"' in shown
    assert (kept["usd_per_month"], kept["warn_percent"]) == (750, 90)
    assert (gone["usd_per_month"], gone["left_usd"], gone["state"]) == (None, None, "none")
    # What changes nothing is no event.
    events = client.get("/api/projects/main/events").json()["items"]
    assert [(each["old"], each["new"], each["actor"]) for each in events] == [
        ("750", "none", "alice"),
        ("500.25", "750", "alice"),
        ("none", "500.25", "alice"),
    ]
    assert "set the monthly budget to $750, with a warning from 90 % on" in (
        signed_in(people.bob).get("/projects/main/").content.decode()
    )


def test_a_budget_is_for_the_admins_of_the_project(people: People) -> None:
    assert api(people.bob).put(BUDGET, {"usd_per_month": 5}, "application/json").status_code == 403
    assert signed_in(people.bob).post(SETTINGS, {"usd_per_month": "5"}).status_code == 403
    assert Project.objects.get(name="main").budget_usd_per_month is None
    assert "There is no budget" in signed_in(people.bob).get(SETTINGS).content.decode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usd_per_month", -0.01),
        ("usd_per_month", 10_000_001),
        ("usd_per_month", "1e99"),
        ("usd_per_month", "NaN"),
        ("usd_per_month", "-Infinity"),
        ("usd_per_month", "1.00001"),
        ("usd_per_month", "much"),
        ("usd_per_month", "5\x00"),
        ("warn_percent", 0),
        ("warn_percent", 101),
        ("warn_percent", 10**30),
        ("warn_percent", 79.5),
        ("warn_percent", "80 %"),
    ],
)
def test_a_budget_that_is_none_is_refused_by_api_and_page(
    people: People, name: str, value: Any
) -> None:
    sent = {"usd_per_month": 5, "warn_percent": 80, name: value}

    answer = api(people.alice).put(BUDGET, sent, "application/json")
    page = signed_in(people.alice).post(SETTINGS, sent)

    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]
    assert page.status_code == 422
    assert Project.objects.get(name="main").budget_usd_per_month is None
