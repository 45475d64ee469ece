"""The search over services, models, pages and actions."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from dstack_web.web import palette
from tests import factories
from tests.people import People, signed_in

SEARCH = "/search/"


def found(answer: Any) -> list[str]:
    return [f"{item.kind} {item.text}" for item in answer.context["found"]]


@pytest.fixture(autouse=True)
def rows(people: People) -> None:
    spec = factories.run(people.project, name="hello").spec
    model = {**spec, "model": {"name": "org/Chat-7B"}}
    factories.run(people.project, name="chat", spec=model)
    factories.run(people.project, name="chat", state="stopped")
    secret = factories.project("secret")
    factories.run(secret, name="chat-of-others", spec={**spec, "model": {"name": "org/hidden"}})


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("hello", "Service hello"),
        ("HLO", "Service hello"),
        ("chat", "Service chat"),
        ("org/chat", "Model org/Chat-7B"),
        ("backends", "Page Backends"),
        ("deploy", "Action Deploy a service"),
        ("new key", "Action Create a token"),
        ("main", "Project main"),
    ],
)
def test_finds(people: People, query: str, first: str) -> None:
    assert found(signed_in(people.bob).get(SEARCH, {"q": query}))[0] == first


@pytest.mark.parametrize(
    "query", ["chat-of-others", "hidden", "secret", "\\", "%", ".*", "(", "[a"]
)
def test_finds_nothing_of_others_and_takes_no_text_for_a_pattern(
    people: People, query: str
) -> None:
    answer = signed_in(people.bob).get(SEARCH, {"q": query})

    assert [each for each in found(answer) if "others" in each or "hidden" in each] == []
    assert [each for each in found(answer) if each.startswith("Service")] == []


def test_shows_a_service_once(people: People) -> None:
    assert found(signed_in(people.bob).get(SEARCH, {"q": "chat"})).count("Service chat") == 1


def test_a_service_that_was_deployed_often_hides_no_other(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(palette, "MOST_ROWS", 2)
    for _ in range(3):
        factories.run(people.project, name="chat-nightly", state="stopped")

    answer = signed_in(people.bob).get(SEARCH, {"q": "chat"})

    assert found(answer)[:2] == ["Service chat", "Service chat-nightly"]


def test_leads_to_the_row_of_a_model(people: People) -> None:
    client = signed_in(people.bob)
    (item,) = client.get(SEARCH, {"q": "org/chat"}).context["found"]

    page, _, row = item.href.partition("#")

    assert f'id="{row}"' in client.get(page).content.decode()


def test_offers_to_each_what_one_may_do(people: People) -> None:
    offered = {
        user.username: "Action Add a host"
        in found(signed_in(user).get(SEARCH, {"q": "add a host"}))
        for user in (people.alice, people.bob, people.root)
    }

    assert offered == {"alice": True, "bob": False, "root": True}


def test_who_sees_another_project_finds_its_services(people: People) -> None:
    assert "Service chat-of-others" in found(signed_in(people.root).get(SEARCH, {"q": "others"}))


def test_the_last_used_come_first(people: People) -> None:
    recent = ["/projects/main/services/hello/", "/projects/secret/services/chat-of-others/", "x"]

    answer = signed_in(people.bob).get(SEARCH, {"recent": recent})

    assert found(answer)[0] == "Service hello"
    assert "others" not in answer.content.decode()


def test_gives_options_to_the_palette_and_a_page_to_who_has_no_script(people: People) -> None:
    part = signed_in(people.bob, htmx="palette-found").get(SEARCH, {"q": "hel"}).content.decode()
    page = signed_in(people.bob).get(SEARCH, {"q": "<b>"}).content.decode()

    assert 'role="option"' in part
    assert "<html" not in part
    assert "Nothing fits “&lt;b&gt;”" in page


def test_wants_a_person(people: People) -> None:
    assert Client().get(SEARCH).status_code == 302
    assert signed_in(people.bob).post(SEARCH).status_code == 405
