"""Single requests: taken in from a gateway, pruned, and shown to who may see them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Token
from apps.core.ids import new_token, token_hash
from apps.gateways.models import Gateway
from apps.routing import services as routing
from apps.runs.models import Run
from apps.telemetry.models import ServedRequest, Traffic
from apps.telemetry.requests import keep
from gateway import schema
from tests import factories
from tests.people import People, signed_in

pytestmark = pytest.mark.django_db

API = "/api/projects/main/runs/hello/requests"
PAGE = "/projects/main/services/hello/request-rows/"


@pytest.fixture
def gateway(people: People) -> Gateway:
    return factories.gateway(people.project, name="local")


@pytest.fixture
def run(people: People, gateway: Gateway) -> Run:
    return factories.run(people.project, user=people.bob, name="hello", gateway=gateway)


def told(run: Run, *, at: datetime | None = None, **more: Any) -> schema.Request:
    when = (at or timezone.now()).timestamp()
    usual = {"method": "GET", "path": "/", "status": 200, "total_ms": 5.0, "id": "r-1"}
    return schema.Request(**{"endpoint": str(run.pk), "at": when, **usual, **more})


def take(gateway: Gateway, *requests: schema.Request) -> int:
    return keep.take(gateway=gateway, requests=requests, at=timezone.now())


def token_of(people: People, who: str, name: str = "ci") -> tuple[Token, str]:
    text = new_token("u")
    user = getattr(people, who)
    return Token.objects.create(user=user, name=name, hash=token_hash(text)), text


def ask(text: str, **query: Any) -> Any:
    return Client(headers={"Authorization": f"Bearer {text}"}).get(API, query)


def test_keeps_what_a_gateway_tells_of_its_own_runs_alone(
    people: People, gateway: Gateway, run: Run
) -> None:
    elsewhere = factories.gateway(name="other")
    foreign = factories.run(people.project, user=people.bob, name="far", gateway=elsewhere)
    mine, theirs = factories.replica(run, num=3), factories.replica(foreign)
    bob, _ = token_of(people, "bob")
    charlie, _ = token_of(people, "charlie")

    kept = take(
        gateway,
        told(run, key=str(bob.pk), replica=str(mine.pk)),
        told(run, key=str(charlie.pk), replica=str(theirs.pk)),
        told(run, key="browser-7", replica="x"),
        told(run, key="chat-7"),
        told(foreign),
        told(run, endpoint="e-nobody"),
    )

    rows = ServedRequest.objects.order_by("pk")
    assert kept == 4
    assert [(e.run_id, e.token_id, e.by_browser, e.replica_num) for e in rows] == [
        (run.pk, bob.pk, False, 3),
        (run.pk, None, False, None),
        (run.pk, None, True, None),
        (run.pk, None, True, None),
    ]


def test_keeps_nothing_that_cannot_be_kept(gateway: Gateway, run: Run) -> None:
    past = timezone.now() - timedelta(days=9)
    take(
        gateway,
        told(run, at=past, path="/\0\x1b[31m\u20ac x", status=-5, weight=-1, total_ms=1e300),
        told(run, at=timezone.now() + timedelta(days=9), tokens_in=10**30, status=10**9),
    )

    old, new = ServedRequest.objects.order_by("pk")
    assert (old.path, old.status, old.weight, old.total_ms) == ("/[31mx", 0, 0, keep.MOST_MS)
    assert timezone.now() - old.at < timedelta(hours=1, minutes=1)
    assert new.at <= timezone.now()
    assert (new.tokens_in, new.status) == (keep.MOST_WHOLE, 999)


def test_a_setting_turns_it_off(people: People, gateway: Gateway, run: Run, settings: Any) -> None:
    _, text = token_of(people, "bob")
    assert routing.table(gateway=gateway, since=0).request_rows == routing.REQUEST_ROWS
    assert ask(text).json()["kept"] is True
    take(gateway, told(run))

    settings.DSTACK_REQUEST_HOURS = 0

    assert routing.table(gateway=gateway, since=0).request_rows == 0
    assert take(gateway, told(run)) == 0
    keep.prune(at=timezone.now() + timedelta(seconds=1))
    assert ask(text).json() == {"kept": False, "one_in": 1, "items": []}
    assert "DSTACK_REQUEST_HOURS" in signed_in(people.bob).get(PAGE).content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_url")
def test_a_look_that_comes_twice_is_kept_once(gateway: Gateway, run: Run) -> None:
    text = new_token("g")
    Gateway.objects.filter(pk=gateway.pk).update(token_hash=token_hash(text))
    look = schema.Stats(boot_id="b", sequence=1, at=timezone.now().timestamp())
    body = look.model_copy(update={"requests": [told(run)]}).model_dump_json()
    caller = Client(headers={"Authorization": f"Bearer {text}"})

    for _ in range(2):
        sent = caller.post("/api/gateway/stats", body, content_type="application/json")
        assert sent.status_code == 200

    assert ServedRequest.objects.count() == 1


def test_prunes_what_is_old_and_what_is_too_much(
    gateway: Gateway, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "KEPT_NEWEST", 5)
    monkeypatch.setattr(keep, "KEPT_FAILED", 2)
    monkeypatch.setattr(keep, "KEPT_SLOWEST", 1)
    now = timezone.now()
    for number in range(20):
        status, spent = (502 if number in (2, 3, 4) else 200), (900.0 if number == 6 else 1.0)
        ServedRequest.objects.create(
            run_id=run.pk,
            at=now - timedelta(minutes=20 - number),
            request_id=f"r{number}",
            status=status,
            total_ms=spent,
        )
    ServedRequest.objects.create(
        run_id=run.pk, at=now - timedelta(hours=25), request_id="old", status=502, total_ms=9e9
    )

    assert keep.prune(at=now) == 13
    assert keep.prune(at=now) == 0

    left = ServedRequest.objects.order_by("at").values_list("request_id", flat=True)
    assert list(left) == ["r3", "r4", "r6", "r15", "r16", "r17", "r18", "r19"]


@pytest.fixture
def listed(people: People, gateway: Gateway, run: Run) -> str:
    """Four requests, oldest first, that Bob's key `ci` made; returns Bob's token."""
    token, text = token_of(people, "bob")
    now = timezone.now()
    take(
        gateway,
        *(
            told(run, at=now - timedelta(seconds=40 - n), id=f"r-{n}", key=str(token.pk), **more)
            for n, more in enumerate[dict[str, Any]](
                (
                    {"total_ms": 900.0, "weight": 9},
                    {"status": 404, "path": "/<b>x"},
                    {"status": 502, "first_byte_ms": None},
                    {"status": 200, "ended": "replica", "held_ms": 2500.0, "tokens_in": 7},
                )
            )
        ),
    )
    return text


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, ["r-3", "r-2", "r-1", "r-0"]),
        ({"limit": 2}, ["r-3", "r-2"]),
        ({"order": "slowest", "limit": 1}, ["r-0"]),
        ({"status": "2xx"}, ["r-3", "r-0"]),
        ({"status": "4xx"}, ["r-1"]),
        ({"status": "5xx"}, ["r-2"]),
        ({"status": "failed"}, ["r-3", "r-2"]),
        ({"status": "failed", "order": "slowest", "request_id": "r-2"}, ["r-2"]),
        ({"request_id": "r-"}, []),
        ({"status": "3xx"}, []),
    ],
)
def test_the_api_lists_what_is_asked_for(
    listed: str, query: dict[str, Any], ids: list[str]
) -> None:
    answer = ask(listed, **query).json()

    assert [each["request_id"] for each in answer["items"]] == ids
    assert answer["one_in"] == 3
    assert {each["key"] for each in answer["items"]} <= {"ci"}


@pytest.mark.parametrize(
    "query",
    [{"status": "200"}, {"order": "x"}, {"limit": 0}, {"limit": 501}, {"request_id": "x" * 129}],
)
def test_the_api_refuses_what_it_cannot_read(listed: str, query: dict[str, Any]) -> None:
    assert ask(listed, **query).status_code == 422


def test_strangers_see_none_of_it(people: People, listed: str) -> None:
    _, text = token_of(people, "charlie")

    assert ask(text).status_code == 404
    assert Client().get(API).status_code == 401
    assert signed_in(people.charlie).get(PAGE).status_code == 404


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [
        ("", ["/&lt;b&gt;x", "about 1 in 3", "the replica broke off", "2.5 s", "?q=r-3"], ["<b>x"]),
        ("?status=5xx", ["502"], ["404", "r-0"]),
        ("?order=slowest", ["900 ms"], []),
        ("?id=r-1", ["404"], ["502"]),
        (
            "?id=%3Cb%3E&status=zz&order=x",
            ["No request of this service with that id"],
            ["<b>"],
        ),
        ("?status=3xx", ["No request fits."], ["r-1"]),
    ],
)
def test_the_page_shows_what_is_asked_for(
    people: People, listed: str, query: str, shown: list[str], hidden: list[str]
) -> None:
    page = signed_in(people.bob).get(PAGE + query).content.decode()

    assert [text for text in shown if text not in page] == []
    assert [text for text in hidden if text in page] == []


def test_the_page_says_that_a_gateway_is_too_old(people: People, run: Run) -> None:
    at = timezone.now() - timedelta(minutes=2)
    Traffic.objects.create(run_id=run.pk, seconds=10, at=at, by_class=[0, 3, 0, 0, 0])
    page = signed_in(people.bob)
    assert "of an earlier version" in page.get(PAGE).content.decode()

    ServedRequest.objects.create(run_id=run.pk, at=at, status=200, total_ms=1)

    assert "of an earlier version" not in page.get(f"{PAGE}?status=5xx").content.decode()


def test_the_tab_hands_on_what_is_asked_for(people: People, run: Run) -> None:
    tab = signed_in(people.bob).get("/projects/main/services/hello/requests/?id=a%26b")

    assert f'hx-get="{PAGE}?id=a%26b"' in tab.content.decode()


def test_a_page_without_requests_says_what_to_expect(people: People, run: Run) -> None:
    assert "No request yet." in signed_in(people.bob).get(PAGE).content.decode()
