from __future__ import annotations

import re
from typing import Any

import pytest

from dstack_web.web import docs
from tests.people import People, signed_in


@pytest.mark.parametrize("name", docs.NAMES)
def test_opens_each_page_of_the_documentation(people: People, name: str) -> None:
    answer = signed_in(people.charlie).get(f"/docs/{name}/")

    assert answer.status_code == 200
    assert "<h1>" in answer.content.decode()


@pytest.mark.parametrize("name", ["nope", "..", "start.md", "%2e%2e"])
def test_finds_nothing_else(people: People, name: str) -> None:
    assert signed_in(people.charlie).get(f"/docs/{name}/").status_code == 404


@pytest.mark.parametrize("doc", docs.every(), ids=lambda doc: doc.name)
def test_no_page_is_empty(doc: docs.Doc) -> None:
    assert len(doc.html) > 1000
    assert doc.parts


@pytest.mark.parametrize("doc", docs.every(), ids=lambda doc: doc.name)
def test_links_lead_to_pages_and_headings_that_are_there(doc: docs.Doc) -> None:
    for name, anchor in re.findall(r'href="/docs/([^/"]*)/(?:#([^"]*))?"', doc.html):
        found = docs.find(name)
        assert found is not None, name
        assert not anchor or anchor in dict(found.parts), (name, anchor)


def test_a_page_has_the_addresses_of_its_own_server(settings: Any) -> None:
    settings.DSTACK_PUBLIC_URL, settings.DSTACK_GATEWAY_PORT = "https://dstack.example.com", 8180

    own = docs.with_own_addresses(
        "curl http://127.0.0.1:3000/api http://hello.localhost:8080/ http://localhost:8080/v1"
    )

    assert own == (
        "curl https://dstack.example.com/api http://hello.localhost:8180/ http://localhost:8180/v1"
    )
