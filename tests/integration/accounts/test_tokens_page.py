from __future__ import annotations

import re

import pytest

from apps.accounts.models import Token
from tests import factories
from tests.people import People, signed_in

TOKENS = "/projects/main/tokens/"
FULL = {"name": "laptop", "scope": "full", "where": "project", "runs": "", "expires": "30d"}


def test_shows_a_new_token_once(people: People) -> None:
    client = signed_in(people.bob)

    made = client.post(TOKENS, FULL).content.decode()
    later = client.get(TOKENS).content.decode()

    shown = re.search(r'id="issued-token">(dsk_u_\w+)<', made)
    assert shown is not None
    assert shown[1] not in later
    assert "laptop" in later


def test_makes_a_key_for_named_services(people: People) -> None:
    for name in ("hello", "api"):
        factories.run(people.project, name=name)

    signed_in(people.bob).post(TOKENS, {**FULL, "runs": "hello, api", "where": "all"})

    token = Token.objects.get()
    assert (token.scope, token.run_names, token.project) == (
        "call",
        ["api", "hello"],
        people.project,
    )


def test_bounds_the_calls_of_a_token(people: People) -> None:
    client = signed_in(people.bob)

    client.post(TOKENS, {**FULL, "rps": "2.5", "burst": ""})

    token = Token.objects.get()
    assert (token.rps, token.burst) == (2.5, 3)
    assert "at most 2.5/s" in client.get(TOKENS).content.decode()


def test_makes_a_token_for_all_projects(people: People) -> None:
    signed_in(people.bob).post(TOKENS, {**FULL, "where": "all", "expires": ""})

    token = Token.objects.get()
    assert (token.project, token.expires_at) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\x07b"},
        {"scope": "root"},
        {"where": "elsewhere"},
        {"expires": "soon"},
        {"rps": "fast"},
        {"rps": "0"},
        {"rps": "nan"},
        {"burst": "5"},
        {"rps": "1", "burst": "-1"},
        {"runs": "../../etc"},
        {"runs": "; drop table"},
        {"runs": "nope"},
        {"runs": "x " * 2000},
    ],
)
def test_refuses_what_makes_no_sense(people: People, wrong: dict[str, str]) -> None:
    answer = signed_in(people.bob).post(TOKENS, {**FULL, **wrong})

    assert answer.status_code == 422
    assert not Token.objects.exists()


def test_revokes_ones_own_token(people: People) -> None:
    token = factories.token(people.bob).row

    signed_in(people.bob).post(f"{TOKENS}{token.pk}/revoke/")

    token.refresh_from_db()
    assert token.revoked_at is not None


def test_does_not_revoke_anothers_token(people: People) -> None:
    token = factories.token(people.alice).row

    answer = signed_in(people.bob).post(f"{TOKENS}{token.pk}/revoke/")

    token.refresh_from_db()
    assert (answer.status_code, token.revoked_at) == (404, None)


def test_does_not_list_anothers_tokens(people: People) -> None:
    factories.token(people.alice, name="alices own")

    assert "alices own" not in signed_in(people.bob).get(TOKENS).content.decode()


def test_escapes_a_name_that_is_markup(people: People) -> None:
    factories.token(people.bob, name="<script>alert(1)</script>")

    assert "<script>alert" not in signed_in(people.bob).get(TOKENS).content.decode()
