"""The steps from what HAProxy holds to what it must hold."""

from __future__ import annotations

from gateway.state.desired_state import MAPS, DesiredState, Map
from gateway.state.diff import (
    MOST_SINGLE_ENTRIES,
    ActualState,
    AddEntry,
    AddServer,
    DrainServer,
    DropEntry,
    EnableServer,
    SeenServer,
    SetEntry,
    WriteMap,
    after,
    changes,
)
from gateway.state.slots import Server

N1 = Server(name="n1", slot=1, replica="r1", address="127.0.0.1:1")


def maps(**given: Map) -> dict[str, Map]:
    return {name: given.get(name, {}) for name in MAPS}


def state(*servers: Server, **given: Map) -> DesiredState:
    return DesiredState(maps=maps(**given), servers={each.name: each for each in servers})


def actual(servers: dict[str, SeenServer] | None = None, **given: Map) -> ActualState:
    return ActualState(maps=maps(**given), servers=servers or {})


def test_does_nothing_where_all_is_right() -> None:
    held = actual({"n1": SeenServer(1, "ready")}, hosts={"a": "s1"})

    assert changes(actual=held, desired=state(N1, hosts={"a": "s1"})) == []


def test_adds_servers_before_routes_and_keys_before_routes() -> None:
    desired = state(N1, hosts={"a": "s1"}, keys={"K": "k"}, grants={"k:p:p": "1"})

    assert changes(actual=actual(), desired=desired) == [
        AddServer(N1),
        AddEntry("keys", "K", "k"),
        AddEntry("grants", "k:p:p", "1"),
        AddEntry("hosts", "a", "s1"),
    ]


def test_removes_routes_before_keys_and_drains_last() -> None:
    held = actual(
        {"n1": SeenServer(1, "ready")}, hosts={"a": "s1"}, paths={"/p": "s1"}, keys={"K": "k"}
    )

    assert changes(actual=held, desired=state()) == [
        DropEntry("paths", "/p"),
        DropEntry("hosts", "a"),
        DropEntry("keys", "K"),
        DrainServer("n1", 1),
    ]


def test_replaces_a_value_in_one_step() -> None:
    held = actual(hosts={"a": "s1"})

    assert changes(actual=held, desired=state(hosts={"a": "s2"})) == [SetEntry("hosts", "a", "s2")]


def test_finishes_a_server_that_was_only_half_added() -> None:
    held = actual({"n1": SeenServer(1, "maint")})

    assert changes(actual=held, desired=state(N1)) == [EnableServer("n1", 1)]


def test_leaves_a_draining_server_alone() -> None:
    held = actual({"n1": SeenServer(1, "drain"), "n2": SeenServer(1, "maint")})

    assert changes(actual=held, desired=state()) == []


def test_writes_a_map_whole_when_much_of_it_changes() -> None:
    many = {f"k{number}": "1" for number in range(MOST_SINGLE_ENTRIES + 1)}
    steps = changes(actual=actual(hosts={"a": "s1"}), desired=state(grants=many))

    assert steps == [WriteMap("grants", many), DropEntry("hosts", "a")]


def test_knows_what_haproxy_holds_afterwards() -> None:
    held = actual({"n0": SeenServer(1, "ready"), "n9": SeenServer(2, "maint")}, hosts={"a": "s1"})
    desired = state(N1, hosts={"b": "s1"})
    then = after(actual=held, desired=desired)

    assert changes(actual=then, desired=desired) == []
    assert then.servers["n0"].state == "drain"
    assert then.servers["n9"].state == "maint"
