"""A plan and a submit read a service's file once, however many steps ask what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.core import crypto
from apps.runs.models import Run
from apps.specs.yaml import events, tree
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.usefixtures("local_backend")
YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\nenv: [MODE]\n"
NAMELESS = YAML.replace("name: hello\n", "")
PROFILE = {"max_price": 3}
API = "/api/projects/main/runs"

Ask = Callable[[People, str], Any]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is made out while the test runs."""
    texts: list[str] = []

    def noting(text: str) -> events.Node | None:
        texts.append(text)
        return events.compose(text)

    monkeypatch.setattr(tree, "compose", noting)
    return texts


def asked(people: People, path: str, text: str, **more: Any) -> Any:
    client = Client(headers=factories.token(people.bob).headers)
    body = {"configuration": text, "env": {"MODE": "fast"}, "profile": PROFILE, **more}
    return client.post(path, body, content_type="application/json")


def planned(people: People, text: str) -> Any:
    return asked(people, f"{API}/plan", text)


def submitted(people: People, text: str) -> Any:
    return asked(people, API, text)


def previewed(people: People, text: str) -> Any:
    return signed_in(people.bob).post(
        "/projects/main/deploy/", {"configuration": text, "env.MODE": "fast"}
    )


def deployed(people: People, text: str) -> Any:
    sent = {"configuration": text, "env.MODE": "fast", "draft": "made-up", "action": "deploy"}
    sent["service"] = "hello"
    return signed_in(people.bob).post("/projects/main/deploy/", sent)


WAYS = pytest.mark.parametrize(
    ("ask", "status"), [(planned, 200), (submitted, 201), (previewed, 200), (deployed, 302)]
)


@WAYS
@pytest.mark.parametrize("text", [YAML, NAMELESS], ids=["named", "nameless"])
def test_reads_the_text_once(
    people: People, read: list[str], ask: Ask, status: int, text: str
) -> None:
    assert ask(people, text).status_code == status
    assert read == [text]


@pytest.mark.parametrize("ask", [planned, submitted, previewed, deployed])
@pytest.mark.parametrize("text", ["a: [", "type: service\nport: 65536\ncommands: [serve]\n"])
def test_reads_a_text_that_is_wrong_once(
    people: People, read: list[str], ask: Ask, text: str
) -> None:
    answer = ask(people, text)

    assert b"line " in answer.content
    assert read == [text]


@WAYS
def test_reads_the_next_version_once_too(
    people: People, read: list[str], ask: Ask, status: int
) -> None:
    submitted(people, YAML)
    text = YAML + "tags: {of: next}\n"
    read.clear()

    assert ask(people, text).status_code == status
    assert read == [text]


def test_reads_the_text_of_a_plan_once_when_it_is_submitted(
    people: People, read: list[str]
) -> None:
    plan = planned(people, NAMELESS).json()
    read.clear()

    answer = asked(people, API, NAMELESS, plan_id=plan["plan_id"])

    assert (answer.status_code, answer.json()["name"]) == (201, plan["name"])
    assert read == [NAMELESS]


def test_keeps_the_text_as_it_was_written(people: People) -> None:
    text = f"# Ours.\n{YAML}  # the end\n"

    submitted(people, text)

    assert crypto.decrypt(Run.objects.get().configuration) == text


@pytest.mark.parametrize("path", [f"{API}/plan", API])
def test_still_says_line_and_column(people: People, read: list[str], path: str) -> None:
    text = "type: service\nport: 65536\ncommands: [serve]\n"

    answer = asked(people, path, text)

    assert answer.status_code == 422
    details = answer.json()["error"]["details"]
    assert [(d["path"], d["line"], d["column"]) for d in details] == [("port", 2, 7)]
    assert read == [text]
