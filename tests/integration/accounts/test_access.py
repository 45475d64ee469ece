from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils import timezone

from apps.accounts import access
from apps.accounts.access import Access, TokenAuth
from apps.accounts.models import Role, Token
from apps.core.errors import AppError, Forbidden, NotFound, NotSignedIn
from tests import factories

pytestmark = pytest.mark.django_db


def sign_in(authorization: str) -> Access:
    request = RequestFactory().get("/", headers={"Authorization": authorization})
    TokenAuth()(request)
    return access.of(request)


def refusal(authorization: str) -> AppError:
    with pytest.raises(AppError) as caught:
        sign_in(authorization)
    return caught.value


def test_opens_by_token() -> None:
    alice = factories.user("alice")

    found = sign_in(f"bearer {factories.token(alice).text}")

    assert (found.actor, found.user) == ("alice", alice)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer dsk_u_unknown", "Bearer \x00\udcff"]
)
def test_refuses_what_is_no_token(header: str) -> None:
    assert isinstance(refusal(header), NotSignedIn)


def test_refuses_a_token_that_expired() -> None:
    issued = factories.token(factories.user(), expires_at=timezone.now())

    assert "expired" in refusal(f"Bearer {issued.text}").message


def test_refuses_a_token_that_was_revoked() -> None:
    issued = factories.token(factories.user(), revoked_at=timezone.now())

    assert "revoked" in refusal(f"Bearer {issued.text}").message


def test_refuses_the_token_of_a_disabled_user() -> None:
    issued = factories.token(factories.user(active=False))

    assert "disabled" in refusal(f"Bearer {issued.text}").message


def test_forbids_the_api_to_tokens_that_only_call() -> None:
    alice = factories.user()
    calling = factories.token(alice, scope="call")
    key = factories.token(alice, project=factories.project(admin=alice), run_names=["hello"])

    assert isinstance(refusal(f"Bearer {calling.text}"), Forbidden)
    assert isinstance(refusal(f"Bearer {key.text}"), Forbidden)


def test_notes_the_use_of_a_token_once_a_minute() -> None:
    issued = factories.token(factories.user())
    just_now = timezone.now() - timedelta(seconds=30)

    sign_in(f"Bearer {issued.text}")
    first = Token.objects.get().last_used_at
    Token.objects.update(last_used_at=just_now)
    sign_in(f"Bearer {issued.text}")

    assert first is not None
    assert Token.objects.get().last_used_at == just_now


def test_takes_the_user_of_the_session() -> None:
    request = RequestFactory().get("/")
    request.user = factories.user("bob")

    assert access.of(request) == Access(user=request.user)


def test_knows_nobody_without_session_and_token() -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()

    with pytest.raises(NotSignedIn):
        access.of(request)


def test_opens_the_projects_of_a_member_only() -> None:
    bob = factories.user()
    mine, other = factories.project("mine"), factories.project("other")
    factories.member(mine, bob)

    found = Access(bob)

    assert list(found.projects()) == [mine]
    assert found.project("mine") == mine
    with pytest.raises(NotFound, match="other"):
        found.project(other.name)


@pytest.mark.parametrize("name", ["nowhere", "", "../main", "\x00", "\udcff", "x" * 100_000])
def test_finds_no_project_of_a_hostile_name(name: str) -> None:
    with pytest.raises(NotFound):
        Access(factories.user(admin=True)).project(name)


def test_opens_every_project_to_a_global_admin() -> None:
    project = factories.project()

    root = Access(factories.user(admin=True))

    assert root.project(project.name) == project
    assert root.is_admin(project)
    root.require_admin(project)
    root.require_global_admin()


def test_opens_just_its_project_by_a_bound_token() -> None:
    root = factories.user(admin=True)
    bound, other = factories.project("bound"), factories.project("other")

    found = Access(root, factories.token(root, project=bound).row)

    assert list(found.projects()) == [bound]
    assert found.is_admin(bound)
    assert not found.is_admin(other)
    with pytest.raises(Forbidden):
        found.require_global_admin()


def test_opens_nothing_by_a_bound_token_once_its_user_left() -> None:
    bob, project = factories.user(), factories.project()

    found = Access(bob, factories.token(bob, project=project).row)

    assert not found.projects().exists()


def test_forbids_management_to_a_plain_member() -> None:
    alice, bob = factories.user(), factories.user()
    project = factories.project(admin=alice)
    factories.member(project, bob, role=Role.USER)

    Access(alice).require_admin(project)
    with pytest.raises(Forbidden):
        Access(bob).require_admin(project)
    with pytest.raises(Forbidden):
        Access(alice).require_global_admin()
