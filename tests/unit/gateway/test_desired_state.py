"""What HAProxy must hold for a table."""

from __future__ import annotations

import base64

import pytest

from gateway.haproxy.runtime import SAFE_WORD
from gateway.schema import Endpoint, Hold, Key, Model, Table
from gateway.state.desired_state import DesiredState, DesiredStateBuilder, clashes, model_key
from gateway.state.slots import Layout
from tests.fakes.control_plane_gateway import key, service

LAYOUT = Layout(slots={"e-a": 1, "e-b": 2})


AT = "127.0.0.1:1"


def table(*entries: Endpoint | Key, domain: str = "") -> Table:
    return Table(
        version=1,
        whole=True,
        gateway="g",
        domain=domain,
        own_hosts=["203.0.113.5"],
        endpoints=[each for each in entries if isinstance(each, Endpoint)],
        keys=[each for each in entries if isinstance(each, Key)],
    )


def build(*entries: Endpoint | Key, domain: str = "", now: float = 0) -> DesiredState:
    return DesiredStateBuilder().build(table=table(*entries, domain=domain), layout=LAYOUT, now=now)


def test_leads_hosts_and_paths_to_the_same_route() -> None:
    maps = build(service("a", AT)).maps

    assert maps["hosts"]["a.localhost"] == maps["paths"]["/services/main/a"] == "s1:1:p1:e-a:1:0"


def test_writes_what_is_open_and_what_keeps_its_prefix_into_the_route() -> None:
    maps = build(service("a", AT, auth=False, strip_prefix=False)).maps

    assert maps["hosts"]["a.localhost"] == "s1:0:p1:e-a:0:0"


@pytest.mark.parametrize(
    ("slot", "replicas", "is_asleep"),
    [(1, [], True), (1, [AT], False), (7, [], False), (8, [], False)],
)
def test_says_who_sleeps_where_the_slot_does_not_see_who_leaves(
    slot: int, replicas: list[str], is_asleep: bool
) -> None:
    known, layout = table(service("a", *replicas)), Layout(slots={"e-a": slot})
    maps = DesiredStateBuilder().build(table=known, layout=layout, now=0).maps

    route = f"s{slot}:1:p1:e-a:1:0" + ":asleep" * is_asleep
    assert (maps["hosts"]["a.localhost"], maps["paths"]["/services/main/a"]) == (route, route)


def test_names_the_slots_whose_replicas_have_another_time() -> None:
    patient, other = service("a"), service("b", idle_timeout_seconds=90)

    assert build(patient, other).maps["idle"] == {"s2": "90000"}


def test_leaves_out_an_endpoint_without_slot() -> None:
    assert "c.localhost" not in build(service("c")).maps["hosts"]


def test_knows_its_own_names() -> None:
    hosts = build(domain="example.com").maps["hosts"]

    own = ["127.0.0.1", "::1", "localhost", "203.0.113.5", "example.com"]
    assert hosts == {**dict.fromkeys(own, "own"), "gateway.example.com": "openai"}


def test_lets_no_service_take_an_own_name() -> None:
    thief = service("a").model_copy(update={"hosts": ["localhost"]})

    assert build(thief).maps["hosts"]["localhost"] == "own"


def test_bounds_the_queue_where_replicas_have_limits() -> None:
    bounded = service("b", max_concurrency=2, hold=Hold(max_requests=7))

    assert build(service("a"), bounded).maps["queues"] == {"s2": "7"}


def test_gives_a_name_to_the_newer_of_two_endpoints() -> None:
    older = service("a").model_copy(update={"version": 1})
    newer = service("b").model_copy(update={"version": 2, "hosts": older.hosts})

    assert build(newer, older).maps["hosts"]["a.localhost"].startswith("s2:")
    assert clashes([older, newer]) == ["a.localhost"]


def test_grants_projects_and_endpoints() -> None:
    alice = key("t", projects=["p1"], endpoints=["e-a"])
    maps = build(alice).maps

    assert maps["keys"] == {alice.hash.upper(): alice.id}
    assert maps["grants"] == {f"p1:p:{alice.id}": "1", f"e-a:e:{alice.id}": "1"}


def test_leaves_out_an_expired_key() -> None:
    late = key("t", projects=["p1"], expires_at=100)

    assert build(late, now=99.9).maps["keys"] != {}
    assert build(late, now=100).maps["keys"] == build(late, now=100).maps["grants"] == {}


def test_says_when_the_next_key_expires() -> None:
    builder = DesiredStateBuilder()
    keys = [key("a", expires_at=50), key("b", expires_at=100), key("c", expires_at=10), key("d")]
    builder.build(table=table(*keys), layout=LAYOUT, now=20)

    assert builder.rights_until == 50


def test_builds_only_what_changed_anew() -> None:
    builder, known = (
        DesiredStateBuilder(),
        table(service("a"), key("t", projects=["p1"], expires_at=100)),
    )
    first = builder.build(table=known, layout=LAYOUT, now=0)
    same = builder.build(table=known, layout=LAYOUT, now=1)
    expired = builder.build(table=known, layout=LAYOUT, now=100)
    moved = builder.build(table=known, layout=Layout(slots={"e-a": 2}), now=101)

    assert all(same.maps[name] is first.maps[name] for name in first.maps)
    assert (expired.maps["keys"], expired.maps["hosts"] is first.maps["hosts"]) == ({}, True)
    assert moved.maps["hosts"]["a.localhost"].startswith("s2:")


@pytest.mark.parametrize(
    "name", ["m", "ab", "abc", "M", "meta/Llama 3 é", "日本", "x;y\n", "?" * 256]
)
def test_keys_a_model_in_letters_that_the_runtime_socket_takes(name: str) -> None:
    key = model_key(name)

    assert SAFE_WORD.fullmatch(key)
    assert base64.urlsafe_b64decode(key + "=" * (-len(key) % 4)).decode() == name
    assert list(build(service("a", model=Model(name=name))).maps["models"]) == [key]
