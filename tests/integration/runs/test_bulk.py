"""Several services at once: what is said before, what is done, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.runs.models import Run
from tests import factories
from tests.people import People, signed_in

BULK = "/projects/main/bulk/"
LIST = "/projects/main/services/"


def chosen(*runs: Run, do: str, **fields: str) -> dict[str, Any]:
    return {"do": do, "chosen": [str(run.pk) for run in runs], **fields}


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_says_first_what_would_be_unpublished(people: People) -> None:
    gateway = factories.gateway(people.project, domain="example.com")
    model = {**factories.run(people.project, name="plain").spec, "model": {"name": "org/chat"}}
    chat = factories.run(people.project, name="chat", gateway=gateway, spec=model)
    over = factories.run(people.project, name="over", state="stopped")

    page = signed_in(people.bob).get(BULK, chosen(chat, over, do="stop"))

    text = page.content.decode()
    assert "Stop 1 service?" in text
    assert "chat.example.com" in text
    assert "the model org/chat" in text
    assert "<strong>over</strong> is over already" in text
    assert Run.objects.get(pk=chat.pk).state == "running"


def test_stops_each_and_names_what_it_left(people: People) -> None:
    one, two = (factories.run(people.project, name=name) for name in ("one", "two"))
    over = factories.run(people.project, name="over", state="failed")

    fields = chosen(one, two, over, do="stop", back="state=running&page=2")
    answer = signed_in(people.bob).post(BULK, fields, follow=True)

    assert answer.redirect_chain == [(f"{LIST}?state=running&page=2", 302)]
    assert said(answer) == ["2 services are stopping.", "over is over already."]
    stopping = Run.objects.filter(state="stopping").values_list("name", flat=True)
    assert sorted(stopping) == ["one", "two"]


def test_aborts_where_one_says_so(people: People) -> None:
    run = factories.run(people.project, name="one")

    signed_in(people.bob).post(BULK, chosen(run, do="stop", abort="1"))

    assert Run.objects.get(pk=run.pk).abort


def test_deletes_what_is_over_and_names_what_is_not(people: People) -> None:
    over = factories.run(people.project, name="over", state="stopped")
    live = factories.run(people.project, name="live")

    answer = signed_in(people.bob).post(BULK, chosen(over, live, do="delete"), follow=True)

    assert said(answer) == ["over is deleted.", "live is running: stop it first."]
    assert set(Run.objects.filter(deleted_at=None)) == {live}


def test_touches_nothing_of_another_project(people: People) -> None:
    theirs = factories.run(factories.project("other"), name="secret-name")

    before = signed_in(people.bob).get(BULK, chosen(theirs, do="stop"))
    answer = signed_in(people.bob).post(BULK, chosen(theirs, do="stop"), follow=True)

    assert "secret-name" not in before.content.decode()
    assert said(answer) == ["1 of the chosen services is gone."]
    assert Run.objects.get(pk=theirs.pk).state == "running"


def test_says_no_more_problems_than_one_reads(people: People) -> None:
    runs = [factories.run(people.project, state="stopped") for _ in range(8)]

    answer = signed_in(people.bob).post(BULK, chosen(*runs, do="stop"), follow=True)

    assert len(said(answer)) == 6
    assert said(answer)[-1] == "And 3 more."


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"do": "stop"}, "No service is chosen"),
        ({"do": "explode", "chosen": ["x"]}, "stop or delete them"),
        ({"do": "stop", "chosen": ["x"]}, "go back and choose anew"),
        ({"do": "stop", "chosen": ["1"] * 201}, "At most 200 services at once"),
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_refuses_what_makes_no_sense(
    people: People, method: str, fields: dict[str, Any], problem: str
) -> None:
    answer = getattr(signed_in(people.bob), method)(BULK, fields)

    assert answer.status_code == 422
    assert problem in answer.content.decode()


def test_leads_back_to_the_list_alone(people: People) -> None:
    run = factories.run(people.project)

    answer = signed_in(people.bob).post(BULK, chosen(run, do="stop", back="//evil.example/"))

    assert answer["Location"] == f"{LIST}?//evil.example/"


def test_wants_a_token_against_forgery_and_membership(people: People) -> None:
    run = factories.run(people.project)
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(people.bob)

    assert forged.post(BULK, chosen(run, do="stop")).status_code == 403
    assert signed_in(people.charlie).post(BULK, chosen(run, do="stop")).status_code == 404
    assert Client().post(BULK, chosen(run, do="stop")).status_code == 302
    assert Run.objects.get(pk=run.pk).state == "running"
