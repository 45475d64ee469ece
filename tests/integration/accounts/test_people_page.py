from __future__ import annotations

import pytest

from apps.accounts.models import Member, Project, User
from tests.people import People, signed_in

MEMBERS = "/projects/main/members/"


def test_an_admin_adds_a_member(people: People) -> None:
    sent = {"username": "charlie", "role": "user"}

    answer = signed_in(people.alice).post(MEMBERS, sent, follow=True)

    assert Member.objects.filter(user=people.charlie, project=people.project).exists()
    assert "charlie is a member" in answer.content.decode()


def test_a_member_sees_the_list_but_may_not_change_it(people: People) -> None:
    client = signed_in(people.bob)

    page = client.get(MEMBERS).content.decode()
    refused = client.post(MEMBERS, {"username": "charlie", "role": "user"})

    assert "Add a member" not in page
    assert refused.status_code == 403
    assert not Member.objects.filter(user=people.charlie).exists()


@pytest.mark.parametrize("name", ["nobody", "", "\0", "<b>", "x" * 200])
def test_says_that_a_user_is_unknown_at_the_field(people: People, name: str) -> None:
    answer = signed_in(people.alice).post(MEMBERS, {"username": name, "role": "user"})

    assert answer.status_code == 422
    assert "field-error" in answer.content.decode()


def test_removes_a_member(people: People) -> None:
    signed_in(people.alice).post(f"{MEMBERS}bob/remove/")

    assert not Member.objects.filter(user=people.bob).exists()


def test_keeps_the_last_admin(people: People) -> None:
    answer = signed_in(people.alice).post(f"{MEMBERS}alice/remove/")

    assert answer.status_code == 409
    assert Member.objects.filter(user=people.alice).exists()


def test_only_the_servers_admin_sees_users(people: People) -> None:
    assert signed_in(people.alice).get("/users/").status_code == 403
    assert signed_in(people.root).get("/users/").status_code == 200


def test_adds_a_user_who_can_sign_in(people: People) -> None:
    sent = {"username": "dora", "password": "correct horse battery"}

    signed_in(people.root).post("/users/", sent)

    assert User.objects.get(username="dora").check_password("correct horse battery")


@pytest.mark.parametrize(
    "sent",
    [
        {"username": "alice", "password": ""},
        {"username": "has space", "password": ""},
        {"username": "dora", "password": "short"},
    ],
)
def test_says_why_a_user_cannot_be_added(people: People, sent: dict[str, str]) -> None:
    answer = signed_in(people.root).post("/users/", sent)

    assert answer.status_code == 422
    assert not User.objects.filter(username="dora").exists()


def test_disables_and_enables_a_user(people: People) -> None:
    client = signed_in(people.root)

    client.post("/users/bob/state/", {"active": "0"})
    disabled = User.objects.get(username="bob").is_active
    client.post("/users/bob/state/", {"active": "1"})

    assert (disabled, User.objects.get(username="bob").is_active) == (False, True)


def test_makes_a_project_whose_admin_one_is(people: People) -> None:
    answer = signed_in(people.charlie).post("/new-project/", {"name": "mine"})

    assert answer["Location"] == "/projects/mine/services/"
    assert Member.objects.get(project__name="mine").role == "admin"


@pytest.mark.parametrize("name", ["main", "-x", "Upper", "../x", "", "x" * 60])
def test_says_why_a_project_cannot_be_made(people: People, name: str) -> None:
    answer = signed_in(people.charlie).post("/new-project/", {"name": name})

    assert answer.status_code == 422
    assert Project.objects.count() == 1
