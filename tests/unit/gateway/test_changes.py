"""The steps from what HAProxy holds to what it must hold."""

from __future__ import annotations

from gateway.changes import (
    MOST_SINGLE_ENTRIES,
    Actual,
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
from gateway.layout import Server
from gateway.picture import MAPS, Map, Picture

N1 = Server(name="n1", slot=1, replica="r1", address="127.0.0.1:1")


def maps(**given: Map) -> dict[str, Map]:
    return {name: given.get(name, {}) for name in MAPS}


def picture(*servers: Server, **given: Map) -> Picture:
    return Picture(maps=maps(**given), servers={each.name: each for each in servers})


def actual(servers: dict[str, SeenServer] | None = None, **given: Map) -> Actual:
    return Actual(maps=maps(**given), servers=servers or {})


def test_does_nothing_where_all_is_right() -> None:
    held = actual({"n1": SeenServer(1, "ready")}, hosts={"a": "s1"})

    assert changes(actual=held, wanted=picture(N1, hosts={"a": "s1"})) == []


def test_adds_servers_before_routes_and_keys_before_routes() -> None:
    wanted = picture(N1, hosts={"a": "s1"}, keys={"K": "k"}, grants={"k:p:p": "1"})

    assert changes(actual=actual(), wanted=wanted) == [
        AddServer(N1),
        AddEntry("keys", "K", "k"),
        AddEntry("grants", "k:p:p", "1"),
        AddEntry("hosts", "a", "s1"),
    ]


def test_removes_routes_before_keys_and_drains_last() -> None:
    held = actual(
        {"n1": SeenServer(1, "ready")}, hosts={"a": "s1"}, paths={"/p": "s1"}, keys={"K": "k"}
    )

    assert changes(actual=held, wanted=picture()) == [
        DropEntry("paths", "/p"),
        DropEntry("hosts", "a"),
        DropEntry("keys", "K"),
        DrainServer("n1", 1),
    ]


def test_replaces_a_value_in_one_step() -> None:
    held = actual(hosts={"a": "s1"})

    assert changes(actual=held, wanted=picture(hosts={"a": "s2"})) == [SetEntry("hosts", "a", "s2")]


def test_finishes_a_server_that_was_only_half_added() -> None:
    held = actual({"n1": SeenServer(1, "maint")})

    assert changes(actual=held, wanted=picture(N1)) == [EnableServer("n1", 1)]


def test_leaves_a_draining_server_alone() -> None:
    held = actual({"n1": SeenServer(1, "drain"), "n2": SeenServer(1, "maint")})

    assert changes(actual=held, wanted=picture()) == []


def test_writes_a_map_whole_when_much_of_it_changes() -> None:
    many = {f"k{number}": "1" for number in range(MOST_SINGLE_ENTRIES + 1)}
    steps = changes(actual=actual(hosts={"a": "s1"}), wanted=picture(grants=many))

    assert steps == [WriteMap("grants", many), DropEntry("hosts", "a")]


def test_knows_what_haproxy_holds_afterwards() -> None:
    held = actual({"n0": SeenServer(1, "ready"), "n9": SeenServer(2, "maint")}, hosts={"a": "s1"})
    wanted = picture(N1, hosts={"b": "s1"})
    then = after(actual=held, wanted=wanted)

    assert changes(actual=then, wanted=wanted) == []
    assert then.servers["n0"].state == "drain"
    assert then.servers["n9"].state == "maint"
