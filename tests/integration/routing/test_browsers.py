"""Services opened in browsers: who gets a cookie for a ticket, and when it ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import Member, Project, User
from apps.core.errors import Conflict
from apps.gateways.models import Gateway
from apps.routing import browsers, retention, services
from apps.routing.models import BrowserSession
from apps.runs.models import Run
from gateway import schema
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return factories.user("alice")


@pytest.fixture
def run(alice: User) -> Run:
    project = factories.project("main", admin=alice)
    gateway = factories.gateway(project, domain="svc.example.com", scheme="https", port=443)
    made = factories.run(project, name="hello", gateway=gateway, state="running")
    services.publish_all(gateway_ids=[gateway.pk])
    return made


@pytest.fixture
def browser(alice: User, client: Client) -> Client:
    client.force_login(alice)
    return client


def press_open(browser: Client, *, project: str = "main", run: str = "hello") -> Any:
    return browser.post(f"/projects/{project}/services/{run}/open/")


def ticket_of(browser: Client) -> str:
    address = press_open(browser).context["address"]
    assert address.startswith("https://hello.svc.example.com/-/dstack/open?ticket=")
    return str(parse_qs(urlsplit(address).query)["ticket"][0])


def gateway_of(run: Run) -> Gateway:
    assert run.gateway_id is not None
    return Gateway.objects.get(pk=run.gateway_id)


def exchange(run: Run, ticket: str, *, at: Any = None, endpoint: str = "") -> schema.Opened:
    gateway = gateway_of(run)
    return services.open_in_browser(
        gateway=gateway, endpoint=endpoint or str(run.pk), ticket=ticket, at=at or timezone.now()
    )


def keys(run: Run) -> list[schema.Key]:
    gateway = gateway_of(run)
    services.publish_all(gateway_ids=[gateway.pk])
    return [each for each in services.table(gateway=gateway, since=0).keys if each.browser]


def test_gives_a_cookie_that_the_gateway_knows_by_its_hash(run: Run, browser: Client) -> None:
    opened = exchange(run, ticket_of(browser))

    (key,) = keys(run)
    assert key.hash == hashlib.sha256(opened.cookie.encode()).hexdigest()
    assert (key.endpoints, key.projects) == ([str(run.pk)], [])
    assert opened.secure and 0 < opened.max_age_seconds <= 12 * 3600
    assert opened.version == gateway_of(run).revision


def test_takes_a_ticket_once(run: Run, browser: Client) -> None:
    ticket = ticket_of(browser)
    exchange(run, ticket)

    assert exchange(run, ticket).cookie == ""
    assert len(keys(run)) == 1


def test_opening_again_ends_what_the_browser_had(run: Run, browser: Client) -> None:
    exchange(run, ticket_of(browser))
    second = exchange(run, ticket_of(browser))

    assert [each.hash for each in keys(run)] == [hashlib.sha256(second.cookie.encode()).hexdigest()]


def test_takes_a_ticket_for_its_own_service_and_gateway_in_its_minute(
    run: Run, browser: Client
) -> None:
    ticket = ticket_of(browser)
    other = factories.run(run.project, name="other", gateway=run.gateway, state="running")
    elsewhere = factories.run(run.project, name="far", gateway=factories.gateway(name="far"))

    assert exchange(run, "x" * 43).cookie == ""
    assert exchange(other, ticket).cookie == ""
    assert exchange(elsewhere, ticket, endpoint=str(run.pk)).cookie == ""
    assert exchange(run, ticket, at=timezone.now() + timedelta(seconds=61)).cookie == ""
    assert exchange(run, ticket).cookie


def leave(run: Run, alice: User) -> None:
    Member.objects.filter(user=alice).delete()


def disable(run: Run, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)


def sign_out(run: Run, alice: User) -> None:
    Session.objects.all().delete()


def change_password(run: Run, alice: User) -> None:
    alice.set_password("another one of the tests")
    alice.save()


def end_session(run: Run, alice: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


def stop(run: Run, alice: User) -> None:
    Run.objects.filter(pk=run.pk).update(state="stopped")


def delete_project(run: Run, alice: User) -> None:
    Project.objects.filter(pk=run.project_id).update(deleted_at=timezone.now())


def expire(run: Run, alice: User) -> None:
    BrowserSession.objects.update(expires_at=timezone.now())


ENDS = pytest.mark.parametrize(
    "end", [leave, disable, sign_out, change_password, end_session, stop, delete_project, expire]
)


@ENDS
def test_ends_with_what_it_came_from(
    run: Run, alice: User, browser: Client, end: Callable[[Run, User], None]
) -> None:
    exchange(run, ticket_of(browser))
    assert len(keys(run)) == 1

    end(run, alice)

    assert keys(run) == []


@pytest.mark.parametrize("end", [leave, disable, sign_out, change_password, end_session])
def test_refuses_a_ticket_whose_holder_may_no_more(
    run: Run, alice: User, browser: Client, end: Callable[[Run, User], None]
) -> None:
    ticket = ticket_of(browser)
    end(run, alice)

    assert exchange(run, ticket).cookie == ""


def test_lives_no_longer_than_is_set_nor_than_the_session(
    run: Run, browser: Client, settings: Any
) -> None:
    settings.DSTACK_BROWSER_SESSION_SECONDS = 600
    assert exchange(run, ticket_of(browser)).max_age_seconds in (599, 600)

    Session.objects.update(expire_date=timezone.now() + timedelta(seconds=100))
    assert exchange(run, ticket_of(browser)).max_age_seconds in (99, 100)


@pytest.mark.parametrize(("who", "status"), [("bob", 200), ("charlie", 404)])
def test_opens_for_members_only(run: Run, client: Client, who: str, status: int) -> None:
    factories.member(run.project, factories.user("bob"))
    factories.user("charlie")
    client.force_login(User.objects.get(username=who))

    assert press_open(client).status_code == status


def test_asks_to_sign_in_and_wants_a_form(run: Run, browser: Client) -> None:
    assert press_open(Client()).status_code == 302
    assert browser.get("/projects/main/services/hello/open/").status_code == 405
    assert BrowserSession.objects.count() == 0


@pytest.mark.parametrize(
    "spec", [{"auth": False}, {"gateway": False}], ids=["open to everyone", "by path only"]
)
def test_is_for_services_with_tokens_and_a_host(
    run: Run, browser: Client, spec: dict[str, Any]
) -> None:
    Run.objects.filter(pk=run.pk).update(spec={**run.spec, **spec})

    assert press_open(browser).status_code == Conflict.status
    assert "Open in the browser" not in browser.get("/projects/main/services/hello/").text


def test_is_offered_on_the_services_page(run: Run, browser: Client) -> None:
    assert "Open in the browser" in browser.get("/projects/main/services/hello/").text


def test_asks_no_more_for_many_than_for_one(
    run: Run, browser: Client, django_assert_num_queries: Any
) -> None:
    exchange(run, ticket_of(browser))
    with CaptureQueriesContext(connection) as one:
        browsers.wanted(gateway_of(run).pk, at=timezone.now())
    count = len(one)
    for name in ("bob", "dora"):
        factories.member(run.project, factories.user(name))
        client = Client()
        client.force_login(User.objects.get(username=name))
        exchange(run, ticket_of(client))

    with django_assert_num_queries(count):
        assert len(browsers.wanted(gateway_of(run).pk, at=timezone.now())) == 3


def test_opens_any_for_an_admin_of_the_server_until_that_one_is_none(
    run: Run, client: Client
) -> None:
    root = factories.user("root", admin=True)
    client.force_login(root)
    exchange(run, ticket_of(client))
    assert len(keys(run)) == 1

    User.objects.filter(pk=root.pk).update(is_superuser=False)

    assert keys(run) == []


def test_forgets_what_is_over(run: Run, browser: Client) -> None:
    exchange(run, ticket_of(browser))
    ticket_of(browser)

    retention.prune(at=timezone.now() + timedelta(minutes=2))
    assert [row.hash != "" for row in BrowserSession.objects.all()] == [True]

    retention.prune(at=timezone.now() + timedelta(days=1))
    assert not BrowserSession.objects.exists()


def test_says_nothing_of_its_secrets_to_the_dashboards_database(run: Run, browser: Client) -> None:
    ticket = ticket_of(browser)
    cookie = exchange(run, ticket).cookie

    stored = str(list(BrowserSession.objects.values())) + str(
        list(browsers.wanted(gateway_of(run).pk, at=timezone.now()).values())
    )
    assert ticket not in stored and cookie not in stored
