"""The page of models."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.specs.parse import parse
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db

MODEL = """
type: service
commands: [serve]
port: 8000
model: {name: "it's <b>a</b> model", format: openai}
"""


def models_page(people: People, **htmx: str) -> str:
    address = reverse("runs:models", args=["main"])
    return signed_in(people.bob).get(address, headers=htmx).content.decode()


def test_says_what_to_do_while_there_is_no_model(people: People) -> None:
    factories.run(people.project, name="plain")

    text = models_page(people)

    assert "No service offers a model yet" in text
    assert "plain" not in text


def test_lists_models_and_how_to_ask_them(people: People) -> None:
    gateway = factories.gateway(people.project)
    spec = parse(MODEL).to_json()
    factories.run(people.project, name="chat", spec=spec, gateway=gateway)
    factories.run(people.project, name="old", spec=spec, gateway=gateway, state="stopped")

    text = models_page(people)

    assert "it&#x27;s &lt;b&gt;a&lt;/b&gt; model" in text
    assert "http://localhost:8080/v1" in text
    assert reverse("runs:service", args=["main", "chat"]) in text
    assert "old" not in text.partition('id="models"')[2].partition("</table>")[0]
