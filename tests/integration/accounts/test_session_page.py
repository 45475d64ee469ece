from __future__ import annotations

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.urls import reverse

from apps.accounts import hashers, throttle
from tests import factories
from tests.people import People, signed_in

SIGN_IN = "/sign-in/"
PASSWORD = "correct horse battery"


def sign_in(client: Client, password: str = PASSWORD, **more: str) -> int:
    sent = {"username": "dora", "password": password, **more}
    return client.post(SIGN_IN, sent).status_code


@pytest.fixture(autouse=True)
def dora(db: None, redis_url: str) -> None:
    throttle._redis.cache_clear()
    factories.user("dora", password=PASSWORD)


def test_signs_in_and_out(client: Client) -> None:
    assert sign_in(client) == 302
    assert get_user(client).is_authenticated

    client.post(reverse("accounts:sign_out"))

    assert not get_user(client).is_authenticated


def test_says_the_same_for_an_unknown_name_and_a_wrong_password(client: Client) -> None:
    unknown = client.post(SIGN_IN, {"username": "nobody", "password": "x"})
    wrong = client.post(SIGN_IN, {"username": "dora", "password": "x"})

    assert (unknown.status_code, wrong.status_code) == (422, 422)
    assert "do not fit together" in unknown.content.decode()
    assert "do not fit together" in wrong.content.decode()


def test_goes_back_to_the_page_that_was_asked_for(client: Client) -> None:
    sent = {"username": "dora", "password": PASSWORD, "next": "/docs/"}

    assert client.post(SIGN_IN, sent)["Location"] == "/docs/"


@pytest.mark.parametrize("away", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_never_leads_away(client: Client, away: str) -> None:
    sent = {"username": "dora", "password": PASSWORD, "next": away}

    assert client.post(SIGN_IN, sent)["Location"] == "/"


def test_slows_down_who_guesses_even_with_the_right_password(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after many tries: a pause that outlasts a slow test.
    monkeypatch.setattr(throttle, "HERE", (-8, 900))
    sign_in(client, "guess")

    answer = client.post(SIGN_IN, {"username": "dora", "password": PASSWORD})

    assert answer.status_code == 422
    assert "Too many tries" in answer.content.decode()


def test_forgets_the_tries_of_who_gets_in(client: Client) -> None:
    for _ in range(throttle.HERE[0] - 1):
        sign_in(client, "guess")

    assert sign_in(client) == 302
    assert throttle.seconds_to_wait(username="dora", address="127.0.0.1") == 0


def test_strangers_do_not_lock_a_name_out_where_it_signed_in_before(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "ANYWHERE", (-8, 60))
    elsewhere = Client(REMOTE_ADDR="203.0.113.9")
    assert sign_in(client) == 302
    client.post(reverse("accounts:sign_out"))

    tries = [sign_in(elsewhere, "guess") for _ in range(3)]

    assert tries == [422] * 3
    assert sign_in(elsewhere) == 422
    assert sign_in(client) == 302


def test_refuses_at_once_when_too_many_sign_in(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = hashers.Turns(at_once=1, waiting=0, patience_seconds=0)
    monkeypatch.setattr(hashers, "turns", turns)
    with turns.take():
        answer = client.post(SIGN_IN, {"username": "nobody", "password": "x"})

    assert (answer.status_code, answer["Retry-After"]) == (429, "2")
    assert "Try again in a few seconds" in answer.content.decode()
    assert sign_in(client) == 302


@pytest.mark.parametrize("name", ["\0", "x" * 5000, "dora' OR 1=1", "ドラ", "\ud800"])
def test_hostile_names_do_not_get_in(client: Client, name: str) -> None:
    sent = {"username": name.encode("utf-8", "surrogatepass").decode("latin-1"), "password": "x"}

    assert client.post(SIGN_IN, sent).status_code == 422


def test_refuses_other_methods(client: Client) -> None:
    assert client.put(SIGN_IN).status_code == 405
    assert client.get(reverse("accounts:sign_out")).status_code == 405


def test_changes_a_password_and_stays_signed_in(client: Client) -> None:
    sign_in(client)
    new = "a wholly new password"

    answer = client.post("/password/", {"old": PASSWORD, "new": new, "again": new})

    assert answer.status_code == 302
    assert get_user(client).check_password(new)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"old": "wrong", "new": "long enough to do", "again": "long enough to do"}, "old"),
        ({"old": PASSWORD, "new": "short", "again": "short"}, "too short"),
        ({"old": PASSWORD, "new": "long enough to do", "again": "another one"}, "differ"),
    ],
)
def test_says_why_a_password_will_not_do(client: Client, sent: dict[str, str], said: str) -> None:
    sign_in(client)

    answer = client.post("/password/", sent)

    assert answer.status_code == 422
    assert said in answer.content.decode()


def test_home_leads_to_the_project_that_was_looked_at_last(people: People) -> None:
    factories.member(factories.project("aaa"), people.bob)
    client = signed_in(people.bob)
    client.get("/projects/main/services/")

    assert client.get("/")["Location"] == "/projects/main/services/"


def test_home_tells_who_has_no_project_what_to_do(people: People) -> None:
    assert "You are in no project yet" in signed_in(people.charlie).get("/").content.decode()
