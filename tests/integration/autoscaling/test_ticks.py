from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from apps.autoscaling import services
from apps.autoscaling.models import Decision, Scaler
from apps.core import notifications
from apps.core.stores import valkey
from apps.gateways.models import Gateway
from apps.routing import services as routing
from apps.runs.models import Run
from apps.runs.scale.desired_replicas import set_desired
from apps.specs.parse import parse
from apps.telemetry.traffic import live_points
from apps.telemetry.traffic.points import Point
from tests import factories
from tests.people import People

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
SPEC = "type: service\ncommands: [sleep 1]\nport: 80\nreplicas: {}\n"
SCALING = "scaling: {metric: rps, target: 10}\n"


@pytest.fixture
def gateway(people: People) -> Gateway:
    return factories.gateway(people.project)


def scaled(gateway: Gateway, *, replicas: str = "0..4", desired: int = 0, **more: Any) -> Run:
    project = gateway.projects.get()
    spec = parse(SPEC.format(replicas) + SCALING).to_json()
    values = {
        "spec": spec,
        "desired_replicas": desired,
        "failures_counted_since": AT - timedelta(hours=1),
        **more,
    }
    return factories.run(project, gateway=gateway, **values)


def see(run: Run, *, until: datetime = AT, seconds: int = 70, **numbers: int) -> None:
    assert run.gateway_id is not None
    for age in range(seconds - 1, -1, -1):
        at = until.timestamp() - age
        point = {run.pk: Point(at, 1.0, **numbers)} if numbers else {}
        live_points.add(gateway_id=run.gateway_id, look=Point(at, 1.0), points=point)


def desired(run: Run) -> int:
    run.refresh_from_db()
    return run.desired_replicas


def reasons() -> list[str]:
    return list(Decision.objects.order_by("id").values_list("reason", flat=True))


def test_looks_at_those_that_it_is_told_of(gateway: Gateway) -> None:
    run, other = scaled(gateway, desired=1), scaled(gateway, desired=1, name="other")
    see(run, answered=38)
    see(other, answered=38)

    assert services.tick(at=AT, ids=[run.pk]) == 1
    assert (desired(run), desired(other)) == (4, 1)


def test_follows_the_load_and_says_why(gateway: Gateway) -> None:
    run = scaled(gateway, desired=1)
    factories.replica(run)
    see(run, answered=38)

    assert services.tick(at=AT) == 1

    assert desired(run) == 4
    assert reasons() == ["1 -> 4: 38 rps over 60 s, target 10"]
    assert run.next_check_at is not None


def test_another_look_changes_and_writes_nothing(gateway: Gateway) -> None:
    run = scaled(gateway, desired=1)
    see(run, answered=38)
    services.tick(at=AT)
    see(run, answered=38, until=AT + timedelta(seconds=2), seconds=2)

    assert services.tick(at=AT + timedelta(seconds=2)) == 0
    assert len(reasons()) == 1


def test_says_once_that_there_are_no_figures_and_holds(gateway: Gateway) -> None:
    run = scaled(gateway, desired=3)

    for second in range(0, 10, 2):
        services.tick(at=AT + timedelta(seconds=second))

    assert desired(run) == 3
    assert reasons() == ["stays at 3: no figures from the gateway"]


def test_a_lost_valkey_means_hold_and_the_next_look_goes_on(
    gateway: Gateway, redis_url: str
) -> None:
    run = scaled(gateway, desired=2)
    see(run, answered=38)
    valkey.client().flushall()
    services.tick(at=AT)
    assert desired(run) == 2

    see(run, answered=38, until=AT + timedelta(seconds=2), seconds=1)
    services.tick(at=AT + timedelta(seconds=2))
    assert desired(run) == 4


def test_sleeps_after_its_idle_time(gateway: Gateway) -> None:
    run = scaled(gateway, desired=1)
    see(run, seconds=1)
    services.tick(at=AT)
    for after in (100, 200, 299, 301):
        see(run, until=AT + timedelta(seconds=after), seconds=1)
        services.tick(at=AT + timedelta(seconds=after))
        assert desired(run) == (0 if after > 300 else 1)

    assert reasons() == ["1 -> 0: nothing asked for 300 s"]


def test_a_held_request_wakes_without_any_figures(gateway: Gateway) -> None:
    run = scaled(gateway)

    assert services.wake(ids=[run.pk], at=AT) == 1
    assert services.wake(ids=[run.pk], at=AT) == 0

    assert desired(run) == 1
    assert reasons() == ["0 -> 1: a request is held"]


def test_the_tick_wakes_where_the_hint_was_lost(gateway: Gateway) -> None:
    run = scaled(gateway)
    see(run, seconds=1, held=3)
    services.tick(at=AT)

    assert desired(run) == 1


@pytest.mark.parametrize("state", ["stopping", "stopped", "failed"])
def test_what_ends_is_left_alone(gateway: Gateway, state: str) -> None:
    run = scaled(gateway, state=state)

    assert services.wake(ids=[run.pk], at=AT) == 0
    assert not set_desired(run_id=run.pk, seen=0, desired=1)
    assert desired(run) == 0


def test_a_fixed_number_is_left_alone(gateway: Gateway) -> None:
    project = gateway.projects.get()
    spec = parse(SPEC.format(0)).to_json()
    run = factories.run(project, gateway=gateway, spec=spec, desired_replicas=0)
    see(run, seconds=1, held=3)

    services.tick(at=AT)
    services.wake(ids=[run.pk], at=AT)

    assert desired(run) == 0
    assert not Scaler.objects.exists()


def test_writes_only_over_the_number_that_it_saw(gateway: Gateway) -> None:
    run = scaled(gateway, desired=2)

    assert not set_desired(run_id=run.pk, seen=1, desired=3)
    assert not set_desired(run_id=run.pk, seen=2, desired=5)
    assert set_desired(run_id=run.pk, seen=2, desired=4)
    assert desired(run) == 4


def test_failures_still_count_after_the_number_changed(gateway: Gateway) -> None:
    run = scaled(gateway, desired=2)
    before = run.failures_counted_since
    set_desired(run_id=run.pk, seen=2, desired=3)
    run.refresh_from_db()

    assert run.failures_counted_since == before


def test_a_gateway_pokes_for_its_sleeping_services_only(gateway: Gateway) -> None:
    asleep, awake = scaled(gateway), scaled(gateway, desired=1)
    elsewhere = scaled(factories.gateway(factories.project()))
    held = {str(run.pk): 1 for run in (asleep, awake, elsewhere)} | {"x": 3}

    assert routing.asked_for(gateway=gateway, held=held) == [asleep.pk]
    assert routing.asked_for(gateway=gateway, held={str(asleep.pk): 0}) == []


def test_tells_who_starts_replicas(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(
        notifications, "_subscribers", [lambda machine, state, ids: told.append((machine, state))]
    )
    services.wake(ids=[scaled(gateway).pk], at=AT)

    assert told == [("run", "scaled")]


def told(people: People, path: str) -> list[dict[str, Any]]:
    """Return what the API's events say of scaling, newest first."""
    client = Client(headers=factories.token(people.bob).headers)
    items = client.get(f"/api/projects/{people.project.name}/{path}").json()["items"]
    return [one for one in items if one["kind"] == "scaling"]


def test_events_tell_each_decision_once(gateway: Gateway, people: People) -> None:
    run = scaled(gateway, name="hello", desired=1)
    see(run, answered=38)
    services.tick(at=AT)
    services.tick(at=AT + timedelta(seconds=1))

    for path in ("runs/hello/events", "events"):
        (one,) = told(people, path)
        assert (one["old"], one["new"], one["run"], one["replica"]) == ("1", "4", "hello", None)
        assert one["reason"] == "1 -> 4: 38 rps over 60 s, target 10"


def test_events_tell_why_nothing_happens(gateway: Gateway, people: People) -> None:
    scaled(gateway, name="hello", desired=2)
    services.tick(at=AT)

    (one,) = told(people, "runs/hello/events")

    assert (one["old"], one["new"]) == ("2", "2")
    assert one["reason"] == "stays at 2: no figures from the gateway"


def test_events_tell_who_asked_for_another_number(gateway: Gateway, people: People) -> None:
    scaled(gateway, name="hello", desired=1)
    client = Client(headers=factories.token(people.bob).headers)
    address = f"/api/projects/{people.project.name}/runs/hello/scale"
    for replicas in (3, 3, "0..2"):
        client.post(address, {"replicas": replicas}, "application/json")

    assert [(one["reason"], one["actor"]) for one in told(people, "events")] == [
        ("3 -> 2: asked for 0 to 2 replicas", "bob"),
        ("1 -> 3: asked for 3 replicas", "bob"),
    ]


def test_the_page_tells_each_decision_once_and_in_order(gateway: Gateway, people: People) -> None:
    run = scaled(gateway, name="hello", desired=1)
    see(run, answered=38)
    services.tick(at=AT)
    client = Client()
    client.force_login(people.bob)
    client.post(f"/projects/{people.project.name}/services/hello/scale/", {"replicas": "2"})

    for tab in ("", "events/"):
        page = client.get(f"/projects/{people.project.name}/services/hello/{tab}").content.decode()
        first, second = page.index("Scaled 4 -&gt; 2"), page.index("Scaled 1 -&gt; 4")
        assert first < second
        assert page.count("38 rps over 60 s, target 10") == 1
        assert "autoscaling/decisions" not in page
