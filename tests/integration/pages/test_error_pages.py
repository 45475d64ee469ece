from __future__ import annotations

from django.core.exceptions import SuspiciousOperation
from django.test import Client, RequestFactory
from django.urls import reverse

from dstack_web.web import views
from tests.people import People, signed_in


def test_says_calmly_that_nothing_is_there(people: People) -> None:
    answer = signed_in(people.bob).get("/no/such/page")

    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()


def test_says_so_to_a_stranger_too(db: None) -> None:
    assert Client().get("/no/such/page").status_code == 404


def test_tells_htmx_by_a_toast(people: People) -> None:
    client = signed_in(people.charlie, htmx="services")

    answer = client.get(reverse("runs:list", args=["main"]))

    assert (answer.status_code, answer["HX-Retarget"]) == (404, "#toasts")
    assert "<html" not in answer.content.decode()


def test_sends_htmx_to_sign_in_by_a_refresh(people: People) -> None:
    client = Client(headers={"HX-Request": "true"})

    assert client.get(reverse("runs:list", args=["main"]))["HX-Refresh"] == "true"


def test_an_unreadable_request_is_refused_politely(rf: RequestFactory) -> None:
    answer = views.bad_request(rf.get("/"), SuspiciousOperation("odd"))

    assert answer.status_code == 400
    assert "odd" not in answer.content.decode()


def test_the_page_of_a_crash_needs_no_database(rf: RequestFactory) -> None:
    answer = views.server_error(rf.get("/"))

    assert answer.status_code == 500
    assert "Something broke on our side" in answer.content.decode()
