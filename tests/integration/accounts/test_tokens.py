from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts import queries, tokens
from apps.accounts.access import Access
from apps.accounts.models import Role, Token
from apps.accounts.tokens import TokenRequest
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.ids import token_hash
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2030, 1, 1, tzinfo=UTC)
EXPIRIES = {
    None: None,
    "90m": AT + timedelta(minutes=90),
    "12h": AT + timedelta(hours=12),
    "30d": AT + timedelta(days=30),
    "2w": AT + timedelta(weeks=2),
    "2030-01-02T00:00:00Z": AT + timedelta(days=1),
    "2030-01-02T00:00:00+02:00": AT + timedelta(hours=22),
    "2030-01-02": AT + timedelta(days=1),
}


@pytest.mark.parametrize(("text", "time"), EXPIRIES.items())
def test_reads_when_a_token_expires(text: str | None, time: datetime | None) -> None:
    assert tokens.expiry(text, at=AT) == time


@pytest.mark.parametrize(
    "text",
    ["", "soon", "0d", "-3d", "30", "30y", "999999w", "٣d", "2029-12-31", "2050-01-01", "1\x00d"]
    + ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9" * 5000 + "d"],
)
def test_refuses_an_expiry_that_makes_no_sense(text: str) -> None:
    with pytest.raises(Invalid, match="expires"):
        tokens.expiry(text, at=AT)


def test_stores_only_the_hash_of_a_token() -> None:
    issued = tokens.create_token(user=factories.user(), request=TokenRequest("mine"))

    row = Token.objects.get()
    assert issued.text.startswith("dsk_u_")
    assert (row.hash, row.prefix) == (token_hash(issued.text), issued.text[:10])
    assert issued.text not in str(Token.objects.values())


def test_makes_a_service_key_for_named_runs() -> None:
    alice = factories.user()
    wanted = TokenRequest("key", project=factories.project(admin=alice), run_names=["b", "a", "b"])

    issued = tokens.create_token(user=alice, request=wanted)

    assert issued.text.startswith("dsk_s_")
    assert (issued.row.scope, issued.row.run_names) == ("call", ["a", "b"])


REFUSED = {
    "no name": TokenRequest(""),
    "blank name": TokenRequest("  "),
    "long name": TokenRequest("x" * 101),
    "control character": TokenRequest("a\x1b[0m"),
    "scope": TokenRequest("x", scope="root"),
    "runs without a project": TokenRequest("x", run_names=["a"]),
    "no calls": TokenRequest("x", rps=0),
    "endless calls": TokenRequest("x", rps=float("inf")),
    "calls that are no number": TokenRequest("x", rps=float("nan")),
    "burst alone": TokenRequest("x", burst=5),
    "burst below zero": TokenRequest("x", rps=1, burst=-1),
    "endless burst": TokenRequest("x", rps=1, burst=2**31),
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_refuses_a_token_that_makes_no_sense(request_: TokenRequest) -> None:
    with pytest.raises(Invalid):
        tokens.create_token(user=factories.user(), request=request_)


@pytest.mark.parametrize("names", [["../x"], ["A"], [""], ["x\n"], ["x"] * 101])
def test_refuses_names_that_no_run_has(names: list[str]) -> None:
    wanted = TokenRequest("x", project=factories.project(), run_names=names)

    with pytest.raises(Invalid, match="runs"):
        tokens.create_token(user=factories.user(), request=wanted)


def test_makes_no_token_for_more_projects_than_the_one_that_asks() -> None:
    alice = factories.user(admin=True)
    bound = Access(alice, factories.token(alice, project=factories.project()).row)

    with pytest.raises(Forbidden, match="one project"):
        tokens.create_own_token(access=bound, request=TokenRequest("wider"))


def test_makes_no_token_that_outlives_the_one_that_asks() -> None:
    alice = factories.user()
    soon = timezone.now() + timedelta(days=1)
    by = Access(alice, factories.token(alice, expires_at=soon).row)

    with pytest.raises(Forbidden, match="lives longer"):
        tokens.create_own_token(access=by, request=TokenRequest("for ever"))
    assert tokens.create_own_token(access=by, request=TokenRequest("short", expires_at=soon))


def test_lets_a_second_s_worth_come_at_once_where_no_burst_is_named() -> None:
    alice = factories.user()

    plain = tokens.create_token(user=alice, request=TokenRequest("x", rps=2.5)).row
    strict = tokens.create_token(user=alice, request=TokenRequest("x", rps=2.5, burst=0)).row

    assert (plain.burst, strict.burst) == (3, 0)


def test_makes_no_faster_token_than_the_one_that_asks() -> None:
    alice = factories.user()
    slow = tokens.create_token(user=alice, request=TokenRequest("slow", rps=5)).row
    by = Access(alice, slow)

    for rps in (None, 6):
        with pytest.raises(Forbidden, match="a faster one"):
            tokens.create_own_token(access=by, request=TokenRequest("fast", rps=rps))
    assert tokens.create_own_token(access=by, request=TokenRequest("slower", rps=5))


def test_revokes_one_s_own_tokens_only() -> None:
    alice, bob = factories.user(), factories.user()
    issued = factories.token(alice)

    with pytest.raises(NotFound):
        tokens.revoke(access=Access(bob), pk=issued.row.pk, at=AT)
    tokens.revoke(access=Access(alice), pk=issued.row.pk, at=AT)

    assert Token.objects.get().revoked_at == AT


@pytest.mark.parametrize("pk", [0, -1, 2**63, 2**200])
def test_finds_no_token_of_a_number_that_cannot_be(pk: int) -> None:
    with pytest.raises(NotFound):
        tokens.revoke(access=Access(factories.user()), pk=pk, at=AT)


def opened(issued: factories.IssuedToken) -> list[int] | None:
    """The projects whose services the token calls; None when it is no token any more."""
    found = {grant.id: grant.project_ids for grant in queries.callable_tokens()}
    return found.get(issued.row.pk)


def test_lets_a_token_call_in_its_user_s_projects() -> None:
    bob = factories.user()
    mine, _ = factories.project(), factories.project()
    factories.member(mine, bob)

    assert opened(factories.token(bob)) == [mine.pk]
    assert opened(factories.token(bob, scope="call")) == [mine.pk]


def test_lets_a_global_admin_call_everywhere() -> None:
    projects = [factories.project().pk, factories.project().pk]

    assert opened(factories.token(factories.user(admin=True))) == projects


def test_lets_a_bound_token_call_in_its_project_only() -> None:
    bob = factories.user()
    mine, also_mine, foreign = (factories.project() for _ in range(3))
    factories.member(mine, bob)
    factories.member(also_mine, bob)

    assert opened(factories.token(bob, project=mine)) == [mine.pk]
    assert opened(factories.token(bob, project=foreign)) == []


def test_lets_a_service_key_call_its_runs_only() -> None:
    alice = factories.user()
    project = factories.project(admin=alice)
    factories.token(alice, project=project, run_names=["hello"])

    grant, *others = queries.callable_tokens()

    assert (grant.project_ids, grant.run_names, others) == ([project.pk], ["hello"], [])


def test_lets_no_ended_token_call() -> None:
    bob, gone = factories.user(), factories.user(active=False)
    project = factories.project()
    factories.member(project, bob, role=Role.ADMIN)
    factories.member(project, gone)
    past = timezone.now() - timedelta(seconds=1)

    assert opened(factories.token(bob, expires_at=past)) is None
    assert opened(factories.token(bob, revoked_at=past)) is None
    assert opened(factories.token(gone)) is None


def test_reads_all_grants_with_three_queries(django_assert_num_queries: object) -> None:
    for _ in range(5):
        factories.token(factories.user(), project=factories.project())

    with django_assert_num_queries(3):  # type: ignore[operator]
        queries.callable_tokens()
