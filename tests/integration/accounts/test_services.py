from __future__ import annotations

import threading
from collections.abc import Sequence
from uuid import UUID

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.accounts import services
from apps.accounts.access import Access
from apps.accounts.models import Member, Project, Role, User
from apps.core import notifications
from apps.core.errors import AppError, Conflict, Invalid, NotFound
from tests import factories

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def test_adds_a_user_who_can_sign_in() -> None:
    services.create_user(username="bob", password=PASSWORD)

    assert authenticate(username="bob", password=PASSWORD) == User.objects.get(username="bob")


def test_adds_a_user_without_a_password_who_cannot() -> None:
    user = services.create_user(username="robot")

    assert not user.has_usable_password()
    assert authenticate(username="robot", password="") is None


@pytest.mark.parametrize("name", ["bob", "BOB"])
def test_refuses_a_user_name_that_is_taken_in_any_case(name: str) -> None:
    services.create_user(username="bob")

    with pytest.raises(Conflict, match="taken"):
        services.create_user(username=name)


@pytest.mark.parametrize("name", ["", "a b", "x" * 151, "a/b", "$(id)", "\0", "\ud800", "a\n"])
def test_refuses_a_user_name_that_will_not_do(name: str) -> None:
    with pytest.raises(Invalid, match="username"):
        services.create_user(username=name)


@pytest.mark.parametrize("password", ["", "short", "password123"])
def test_refuses_a_weak_password(password: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.create_user(username="bob", password=password)

    assert caught.value.details[0].path == "password"


def test_changes_a_password_for_who_knows_the_old_one() -> None:
    bob = factories.user("bob", password=PASSWORD)

    with pytest.raises(Invalid, match="old password"):
        services.change_password(user=bob, old="wrong", new="another long one")
    services.change_password(user=bob, old=PASSWORD, new="another long one")

    assert authenticate(username="bob", password="another long one") == bob


def test_disables_a_user_but_never_oneself() -> None:
    root, bob = factories.user(admin=True), factories.user("bob")

    services.set_active(username="bob", active=False, by=root)

    assert not User.objects.get(pk=bob.pk).is_active
    with pytest.raises(Conflict):
        services.set_active(username=root.username, active=False, by=root)


def test_makes_the_creator_admin_of_a_project() -> None:
    alice = factories.user()

    project = services.create_project(name="fresh", creator=alice)

    assert Access(alice).is_admin(project)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "../x", "x" * 51, "a\n", "\0", "ü"])
def test_refuses_a_project_name_that_will_not_do(name: str) -> None:
    with pytest.raises(Invalid, match="name"):
        services.create_project(name=name, creator=factories.user())


def test_refuses_a_project_name_that_is_taken() -> None:
    factories.project("taken")

    with pytest.raises(Conflict, match="taken"):
        services.create_project(name="taken", creator=factories.user())


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    monkeypatch.setattr(services, "_project_hooks", [])
    services.on_project_created(lambda project: seen.append(project.name))
    return seen


def test_tells_later_stages_of_a_new_project(hooked: list[str]) -> None:
    services.create_project(name="fresh", creator=factories.user())

    assert hooked == ["fresh"]


def test_makes_no_project_that_a_later_stage_refuses(hooked: list[str]) -> None:
    def refuse(project: Project) -> None:
        raise Conflict("no gateway left")

    services.on_project_created(refuse)

    with pytest.raises(Conflict):
        services.create_project(name="fresh", creator=factories.user())
    assert not Project.objects.exists()


def test_adds_a_member_and_changes_the_role() -> None:
    project = factories.project(admin=factories.user())
    factories.user("bob")

    services.set_member(project=project, username="bob", role=Role.USER)
    services.set_member(project=project, username="bob", role=Role.ADMIN)

    assert Member.objects.get(user__username="bob").role == Role.ADMIN


@pytest.mark.parametrize(
    ("username", "role"), [("nobody", "user"), ("bob", "owner"), ("\0", "user")]
)
def test_refuses_a_member_who_cannot_be(username: str, role: str) -> None:
    factories.user("bob")

    with pytest.raises(Invalid):
        services.set_member(project=factories.project(), username=username, role=role)


def test_never_leaves_a_project_without_an_admin() -> None:
    alice = factories.user("alice")
    project = factories.project(admin=alice)

    with pytest.raises(Conflict, match="without an admin"):
        services.remove_member(project=project, username="alice")
    with pytest.raises(Conflict, match="without an admin"):
        services.set_member(project=project, username="alice", role=Role.USER)
    assert Access(alice).is_admin(project)


def test_finds_no_member_to_remove() -> None:
    factories.user("bob")

    with pytest.raises(NotFound):
        services.remove_member(project=factories.project(), username="bob")


@pytest.mark.django_db(transaction=True)
def test_keeps_one_of_two_admins_who_leave_at_once() -> None:
    project = factories.project(admin=factories.user("alice"))
    factories.member(project, factories.user("bob"), role=Role.ADMIN)
    start = threading.Barrier(2)
    refused: list[AppError] = []

    def leave(name: str) -> None:
        start.wait(timeout=10)
        try:
            services.remove_member(project=project, username=name)
        except Conflict as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=leave, args=[name]) for name in ("alice", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert len(refused) == 1
    assert Member.objects.filter(project=project).count() == 1


Woken = list[tuple[str, str, Sequence[UUID]]]


def test_tells_gateways_after_the_commit_who_may_call(
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    seen: Woken = []
    monkeypatch.setattr(notifications, "_subscribers", [lambda *args: seen.append(args)])
    project = factories.project(admin=factories.user())
    factories.user("bob")

    with django_capture_on_commit_callbacks(execute=True):
        services.set_member(project=project, username="bob", role=Role.USER)
        before_commit = list(seen)

    assert before_commit == []
    assert seen == [("grants", "changed", [])]
