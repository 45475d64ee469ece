from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Token, User
from tests import factories

pytestmark = pytest.mark.django_db


def client(user: User) -> Client:
    return Client(headers=factories.token(user).headers, raise_request_exception=False)


def post(user: User, path: str, **body: Any) -> Any:
    return client(user).post(f"/api/{path}", body, content_type="application/json")


def test_gives_a_new_user_a_token_that_works() -> None:
    response = post(factories.user(admin=True), "users", username="bob", password=None)

    token = response.json()["token"]
    me = Client(headers={"Authorization": f"Bearer {token}"}).get("/api/users/me").json()
    assert response.status_code == 201
    assert (me["username"], me["admin"], me["projects"]) == ("bob", False, [])


def test_makes_no_user_without_a_good_password() -> None:
    response = post(factories.user(admin=True), "users", username="bob", password="123")

    assert response.status_code == 422
    assert not User.objects.filter(username="bob").exists()


def test_says_who_one_is_and_what_the_token_opens() -> None:
    bob = factories.user("bob")
    project = factories.project("main")
    factories.member(project, bob)
    factories.project("other")

    found = client(bob).get("/api/users/me").json()

    assert [(each["name"], each["role"]) for each in found["projects"]] == [("main", "user")]
    assert (found["token"]["scope"], found["token"]["kind"]) == ("full", "user")


def test_ends_the_tokens_of_a_disabled_user_at_once() -> None:
    root, bob = factories.user(admin=True), factories.user("bob")
    of_bob = client(bob)

    response = client(root).patch("/api/users/bob", {"active": False}, "application/json")

    assert response.json()["active"] is False
    assert of_bob.get("/api/users/me").status_code == 401


def test_lists_users_page_by_page() -> None:
    root = factories.user("root", admin=True)
    for name in ("carol", "alice", "bob"):
        factories.user(name)

    first = client(root).get("/api/users", {"limit": 3}).json()
    rest = client(root).get("/api/users", {"cursor": first["next_cursor"]}).json()

    assert [user["username"] for user in first["items"]] == ["alice", "bob", "carol"]
    assert [user["username"] for user in rest["items"]] == ["root"]
    assert rest["next_cursor"] is None
    assert "password" not in str(first)


def test_makes_projects_and_members_and_takes_them_out_again() -> None:
    alice, bob = factories.user("alice"), factories.user("bob")

    made = post(alice, "projects", name="fresh")
    added = post(alice, "projects/fresh/members", username="bob", role="user")
    seen = client(bob).get("/api/projects").json()["items"]
    left = client(bob).delete("/api/projects/fresh/members/bob")

    assert (made.status_code, added.status_code, left.status_code) == (201, 201, 204)
    assert [(each["name"], each["role"]) for each in seen] == [("fresh", "user")]
    assert client(bob).get("/api/projects/fresh/members").status_code == 404


def test_keeps_the_last_admin() -> None:
    alice = factories.user("alice")
    factories.project("main", admin=alice)

    assert client(alice).delete("/api/projects/main/members/alice").status_code == 409


def test_shows_a_token_once() -> None:
    alice = factories.user()

    made = post(alice, "tokens", name="laptop", expires="30d").json()
    listed = client(alice).get("/api/tokens").json()

    assert made["token"].startswith("dsk_u_")
    assert made["token"] not in str(listed)
    assert {"laptop"} <= {token["name"] for token in listed["items"]}


def test_makes_a_service_key_that_opens_no_api() -> None:
    alice = factories.user()
    factories.run(factories.project("main", admin=alice), name="hello")

    made = post(alice, "tokens", name="key", project="main", runs=["hello"]).json()

    headers = {"Authorization": f"Bearer {made['token']}"}
    assert (made["kind"], made["runs"]) == ("service", ["hello"])
    assert Client(headers=headers).get("/api/users/me").status_code == 403


def test_makes_no_key_for_runs_that_are_not_there() -> None:
    alice = factories.user()
    main, other = (factories.project(name, admin=alice) for name in ("main", "other"))
    factories.run(main, name="hello")
    factories.run(main, name="ended", state="stopped")
    factories.run(main, name="gone", state="stopped", deleted_at=timezone.now())
    factories.run(other, name="elsewhere")

    def create(project: str, *runs: str) -> tuple[int, str]:
        answer = post(alice, "tokens", name="key", project=project, runs=list(runs))
        return answer.status_code, answer.json().get("error", {}).get("message", "")

    assert create("main", "hello", "ended") == (201, "")
    assert create("other", "elsewhere") == (201, "")
    there = "in project main; it has ended, hello."
    assert create("main", "nope") == (422, f"There is no run nope {there}")
    assert create("main", "hello", "gone") == (422, f"There is no run gone {there}")
    assert create("main", "elsewhere") == (422, f"There is no run elsewhere {there}")
    assert create("main", "b", "hello", "a") == (422, f"There is no run a, b {there}")


def test_makes_no_key_in_a_project_without_runs() -> None:
    alice = factories.user()
    factories.project("main", admin=alice)

    error = post(alice, "tokens", name="key", project="main", runs=["nope"]).json()["error"]

    assert error["message"] == (
        "There is no run nope in project main; it has no run yet: deploy one first."
    )
    assert error["details"][0]["path"] == "runs.0"


def test_bounds_the_calls_of_a_token() -> None:
    alice = factories.user()
    factories.project("main", admin=alice)

    made = post(alice, "tokens", name="key", project="main", rps=5, burst=10).json()
    refused = post(alice, "tokens", name="key", project="main", rps=0)

    assert (made["rps"], made["burst"]) == (5, 10)
    assert refused.status_code == 422
    assert "rps must be from 1/60" in refused.json()["error"]["message"]


def test_makes_no_token_for_a_project_one_may_not_see() -> None:
    factories.project("secret")

    assert post(factories.user(), "tokens", name="x", project="secret").status_code == 404


def test_revokes_a_token_at_once() -> None:
    alice = factories.user()
    issued = factories.token(alice)

    response = client(alice).delete(f"/api/tokens/{issued.row.pk}")

    assert response.status_code == 204
    assert Client(headers=issued.headers).get("/api/users/me").status_code == 401
    assert issued.row.pk not in Token.objects.filter(revoked_at=None).values_list("pk", flat=True)
