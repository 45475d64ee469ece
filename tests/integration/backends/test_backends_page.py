from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse

from apps.accounts.access import Access
from apps.backends import queries, services
from tests import factories
from tests.people import People, signed_in

NO_BACKEND = "has no backend yet, so no service can run in it."
PAGES = ["runs:list", "runs:deploy", "offers:list", "backends:list"]
BUTTON = "Open this machine for main"


@pytest.fixture(autouse=True)
def this_machine(agent_folder: Path) -> Path:
    return agent_folder


@pytest.mark.parametrize("page", PAGES)
def test_says_what_is_missing_and_who_can_help(people: People, page: str) -> None:
    shown = signed_in(people.bob).get(reverse(page, args=["main"])).content.decode()

    assert NO_BACKEND in shown
    assert "An admin of this server can open" in shown
    assert BUTTON not in shown


@pytest.mark.parametrize("page", PAGES)
def test_lets_an_admin_of_the_server_open_it_and_go_on(people: People, page: str) -> None:
    browser, here = signed_in(people.root), reverse(page, args=["main"])
    assert BUTTON in browser.get(here).content.decode()

    answer = browser.post(reverse("backends:open_local", args=["main"]), {"next": here})

    assert answer["Location"] == here
    assert NO_BACKEND not in browser.get(here).content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_says_nothing_where_there_is_one(people: People, page: str) -> None:
    factories.backend(people.project, config={"boot_path": "/tmp/x", "url": "http://127.0.0.1:1"})

    assert (
        NO_BACKEND not in signed_in(people.bob).get(reverse(page, args=["main"])).content.decode()
    )


def test_goes_to_no_other_site(people: People) -> None:
    address = reverse("backends:open_local", args=["main"])

    answer = signed_in(people.root).post(address, {"next": "https://example.com/"})

    assert answer["Location"] == reverse("backends:list", args=["main"])


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_refuses_others(people: People, who: str) -> None:
    browser = signed_in(getattr(people, who))

    assert browser.post(reverse("backends:open_local", args=["main"])).status_code == 403
    assert not queries.backends_of(people.project).exists()


def test_closes_it(people: People) -> None:
    services.open_local(access=Access(user=people.root), project=people.project)

    answer = signed_in(people.root).post(reverse("backends:backend_delete", args=["main", "local"]))

    assert answer["Location"] == reverse("backends:list", args=["main"])
    assert not queries.backends_of(people.project).exists()


def test_says_what_still_needs_it(people: People) -> None:
    services.open_local(access=Access(user=people.root), project=people.project)
    factories.run(people.project, name="chat")

    answer = signed_in(people.root).post(reverse("backends:backend_delete", args=["main", "local"]))

    assert answer.status_code == 409
    assert "still need local: chat" in answer.content.decode()
