"""A replica's end and the requests that it did not answer are told in one event."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from django.test import Client

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.core.ids import new_token, token_hash
from apps.core.models import Event
from apps.gateways.models import Gateway
from apps.instances.models import Instance
from apps.runs import services, states
from apps.runs.control.last_requests import MOST_KEPT
from apps.runs.models import Replica
from apps.runs.planning.request import PlanRequest
from tests import factories
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\nreplicas: 2\n"
TOLD = "exited while it answered GET /die"
_sequence = itertools.count(1)


@pytest.fixture
def agent(alice: Access, project: Project) -> FakeAgent:
    services.submit(access=alice, project=project, request=PlanRequest(YAML))
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    return agent


@pytest.fixture
def victim(agent: FakeAgent) -> Replica:
    return Replica.objects.get(num=1)


def report(
    gateway: Gateway, replica: Replica, *requests: tuple[str, str], at: float | None = None
) -> None:
    """Let the gateway say over its route what this replica did not answer."""
    now = time.time()
    said = [
        {"replica": str(replica.pk), "at": at or now, "method": method, "path": path}
        for method, path in requests
    ]
    look = {"boot_id": "b1", "sequence": next(_sequence), "at": now, "unanswered": said}
    got = Client().post("/api/gateway/stats", look, "application/json", headers=token(gateway))
    assert got.status_code == 200, got.content


def token(gateway: Gateway) -> dict[str, str]:
    text = new_token("g")
    Gateway.objects.filter(pk=gateway.pk).update(token_hash=token_hash(text))
    return {"Authorization": f"Bearer {text}"}


def told() -> list[tuple[str, str]]:
    found = Event.objects.filter(state_machine=states.REQUEST).order_by("id")
    return list(found.values_list("label", "reason"))


def exited_at(replica: Replica) -> float | None:
    """When it exited; the gateway saw its connection close then, however late it says so."""
    workload = Replica.objects.select_related("workload").get(pk=replica.pk).workload
    return workload.exited_at.timestamp() if workload and workload.exited_at else None


@pytest.mark.parametrize("first", ["exit", "report"])
def test_whoever_is_heard_first(
    gateway: Gateway, agent: FakeAgent, victim: Replica, first: str
) -> None:
    steps: dict[str, Any] = {
        "exit": lambda: agent.exit_one(str(victim.workload_id)),
        "report": lambda: report(gateway, victim, ("GET", "/die"), at=exited_at(victim)),
    }
    steps.pop(first)()
    assert told() == []
    steps.popitem()[1]()

    assert told() == [("replica 1", TOLD)]


def test_is_told_once_however_often_it_is_said(
    gateway: Gateway, agent: FakeAgent, victim: Replica
) -> None:
    at = time.time()
    report(gateway, victim, ("GET", "/die"), at=at)
    agent.exit_one(str(victim.workload_id))
    report(gateway, victim, ("GET", "/die"), at=at)

    assert told() == [("replica 1", TOLD)]
    assert Replica.objects.get(pk=victim.pk).unanswered == [[at, "GET", "/die"]]


@pytest.mark.parametrize(
    ("reason", "is_told"),
    [
        (wire.REASON_EXITED, True),
        (wire.REASON_OUT_OF_MEMORY, True),
        (wire.REASON_OVER_BOUND, True),
        (wire.REASON_STOPPED, False),
        (wire.REASON_HOST_STOPPED, False),
    ],
)
def test_only_of_one_that_ended_by_itself(
    gateway: Gateway, agent: FakeAgent, victim: Replica, reason: str, is_told: bool
) -> None:
    report(gateway, victim, ("GET", "/die"))
    agent.exit_all(reason=reason)

    assert told() == ([("replica 1", TOLD)] if is_told else [])


def test_says_that_another_replica_had_the_request_before(
    gateway: Gateway, agent: FakeAgent, victim: Replica
) -> None:
    other, now = Replica.objects.get(num=0), time.time()
    report(gateway, victim, ("GET", "/die"), at=now)
    report(gateway, other, ("GET", "/die"), at=now + 0.05)

    agent.exit_one(str(victim.workload_id))
    agent.exit_one(str(other.workload_id))

    again = f"{TOLD}, sent to it after replica 1 ended with it"
    assert told() == [("replica 1", TOLD), ("replica 0", again)]


def test_says_how_long_a_replacement_waits(agent: FakeAgent) -> None:
    for _ in range(2):
        agent.exit_one(str(Replica.objects.filter(num=1).latest("pk").workload_id))
        agent.sync()
        agent.serve()

    waiting = Replica.objects.get(num=1, state=states.PENDING)
    assert waiting.phase == "waits 15s, since it failed 2 times in a row"


def test_not_of_a_request_long_before(gateway: Gateway, agent: FakeAgent, victim: Replica) -> None:
    report(gateway, victim, ("GET", "/mute"), at=time.time() - 60)
    agent.exit_one(str(victim.workload_id))

    assert told() == []


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "yesterday",
    ],
)
def test_a_clock_that_cannot_be_right_keeps_no_replica(
    gateway: Gateway, agent: FakeAgent, victim: Replica, at: str
) -> None:
    report(gateway, victim, ("GET", "/die"))
    agent.exit_one(str(victim.workload_id), at=at)

    assert Replica.objects.get(pk=victim.pk).state == states.FAILED
    assert told() == [("replica 1", TOLD)]


def test_a_gateway_speaks_of_its_own_replicas_only(agent: FakeAgent, victim: Replica) -> None:
    report(factories.gateway(name="other"), victim, ("GET", "/die"))
    agent.exit_one(str(victim.workload_id))

    assert told() == []


def test_what_is_kept_is_bounded(gateway: Gateway, victim: Replica) -> None:
    paths = [("GET", f"/{number}{'x' * 9000}") for number in range(3 * MOST_KEPT)]
    report(gateway, victim, *paths)

    kept = Replica.objects.get(pk=victim.pk).unanswered
    assert len(kept) == MOST_KEPT
    assert max(len(path) for _, _, path in kept) == 200


def test_it_is_in_the_api_and_on_the_page(
    gateway: Gateway, agent: FakeAgent, victim: Replica, alice: Access
) -> None:
    report(gateway, victim, ("GET", "/<b>$(id)"))
    agent.exit_one(str(victim.workload_id))

    headers = factories.token(alice.user).headers
    items = Client(headers=headers).get("/api/projects/main/runs/hello/events").json()["items"]
    browser = Client()
    browser.force_login(alice.user)
    page = browser.get("/projects/main/services/hello/events/").content.decode()

    (found,) = [item for item in items if item["kind"] == "request"]
    assert (found["run"], found["replica"], found["new"]) == ("hello", 1, "unanswered")
    assert found["reason"] == "exited while it answered GET /<b>$(id)"
    assert "Replica 1 exited while it answered GET /&lt;b&gt;$(id)" in page
