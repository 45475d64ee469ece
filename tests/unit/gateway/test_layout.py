"""Where endpoints and replicas lie in HAProxy."""

from __future__ import annotations

import pytest

from gateway.schema import Model, Table
from gateway.state.slots import (
    MOST_GONE,
    Layout,
    adopt,
    assign,
    unplaced,
    waiting,
    withdrawn,
    without,
)
from tests.fakes.control_plane_gateway import replica, service

A, B = "127.0.0.1:1", "127.0.0.1:2"
MODEL = Model(name="m")


def table(*services: tuple[str, *tuple[str, ...]]) -> Table:
    endpoints = [service(name, *addresses) for name, *addresses in services]
    return Table(version=1, whole=True, gateway="g", endpoints=endpoints)


def place(layout: Layout, known: Table, *addresses: str, slots: int = 3) -> Layout:
    reachable = {replica(address) for address in addresses}
    return assign(layout=layout, table=known, slot_count=slots, reachable=reachable)


def test_gives_each_endpoint_a_slot_of_its_own() -> None:
    layout = place(Layout(), table(("a",), ("b",)))

    assert layout.slots == {"e-a": 1, "e-b": 2}


def test_gives_a_replica_a_server_once_it_answers() -> None:
    known = table(("a", A, B))
    layout = place(Layout(), known, A)

    assert [server.address for server in layout.servers.values()] == [A]
    assert waiting(layout=layout, table=known) == [replica(B)]


def test_moves_nothing_that_stays() -> None:
    first = place(Layout(), table(("a", A), ("b", A)), A)
    second = place(first, table(("b", A), ("c",), ("a", A)))

    assert second.servers == first.servers
    assert second.slots.items() >= first.slots.items()


def test_drains_a_replica_that_left() -> None:
    first = place(Layout(), table(("a", A, B)), A, B)
    second = place(first, table(("a", B)))

    assert [server.address for server in second.servers.values()] == [B]
    assert [server.address for server in second.draining.values()] == [A]


def test_a_replica_that_is_withdrawn_gets_another_server_once_it_answers_anew() -> None:
    known = table(("a", A, B))
    first = place(Layout(), known, A, B)

    second = place(withdrawn(layout=first, addresses=[A]), known)
    third = place(second, known, A)

    assert [server.address for server in second.servers.values()] == [B]
    assert waiting(layout=second, table=known) == [replica(A)]
    assert (list(first.servers), list(third.servers)) == (["n1", "n2"], ["n3", "n2"])
    assert list(third.draining) == ["n1"]


def test_never_uses_a_server_name_twice() -> None:
    first = place(Layout(), table(("a", A)), A)
    second = place(first, table(("a",)))
    third = place(without(layout=second, names=["n1"]), table(("a", A)), A)

    assert (list(second.draining), list(third.servers)) == (["n1"], ["n2"])


def test_takes_a_replica_at_a_new_address_for_another_server() -> None:
    first = place(Layout(), table(("a", A)), A)
    moved = first.model_copy(
        update={"servers": {"n1": first.servers["n1"].model_copy(update={"address": B})}}
    )

    assert list(place(moved, table(("a", A)), A).servers) == ["n2"]


def test_keeps_a_slot_taken_until_its_last_server_is_gone() -> None:
    first = place(Layout(), table(("a", A)), A, slots=1)
    second = place(first, table(("b",)), slots=1)
    third = place(without(layout=second, names=["n1"]), table(("b",)), slots=1)

    assert (second.slots, third.slots) == ({}, {"e-b": 1})


def test_does_not_give_a_slot_away_in_the_change_that_frees_it() -> None:
    first = place(Layout(), table(("a",)), slots=1)
    second = place(first, table(("b",)), slots=1)

    assert second.slots == {}
    assert place(second, table(("b",)), slots=1).slots == {"e-b": 1}


def test_goes_round_the_slots() -> None:
    first = place(Layout(), table(("a",)))
    second = place(first, table())

    assert place(second, table(("b",))).slots == {"e-b": 2}


def test_names_the_endpoints_without_slot() -> None:
    known = table(("a",), ("b",))
    layout = place(Layout(), known, slots=1)

    assert [each.id for each in unplaced(layout=layout, table=known)] == ["e-b"]


def test_moves_an_endpoint_whose_slot_is_no_more() -> None:
    high = Layout(slots={"e-a": 9})

    assert place(high, table(("a",))).slots == {"e-a": 1}


def test_lets_strangers_drain_and_passes_their_names_by() -> None:
    layout = adopt(layout=Layout(), seen={"n41": 2, "other": 1})

    assert {name: server.slot for name, server in layout.draining.items()} == {"n41": 2, "other": 1}
    assert layout.next_server == 42


def with_models(known: Table, *names: str, model: Model = MODEL) -> Table:
    endpoints = [
        each.model_copy(update={"model": model}) if each.run in names else each
        for each in known.endpoints
    ]
    return known.model_copy(update={"endpoints": endpoints})


def test_puts_models_where_their_tokens_are_counted() -> None:
    known = with_models(table(("a",), ("m",), ("b",), ("n",), ("c",)), "m", "n")
    layout = place(Layout(), known, slots=8)

    assert layout.slots == {"e-a": 1, "e-m": 4, "e-b": 5, "e-n": 8, "e-c": 1 + 1}


def test_uses_the_other_kind_of_slots_where_one_is_full() -> None:
    many = [(name,) for name in "abcdefgh"]
    plain = place(Layout(), table(*many), slots=8)
    models = place(Layout(), with_models(table(*many), *"abcdefgh"), slots=8)

    for layout in (plain, models):
        assert sorted(layout.slots.values()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_moves_one_that_got_a_model_and_only_that() -> None:
    known = table(("a", A), ("b", A))
    first = place(Layout(), known, A, slots=8)
    second = place(first, with_models(known, "b"), A, slots=8)
    third = place(second, known, A, slots=8)

    assert (first.slots, second.slots) == ({"e-a": 1, "e-b": 2}, {"e-a": 1, "e-b": 4})
    assert [server.slot for server in second.draining.values()] == [2]
    assert third.slots == second.slots


def test_leaves_models_that_are_counted_elsewhere_or_find_no_place() -> None:
    known = table(("a",), ("b",))
    first = place(Layout(), known, slots=3)
    tgi = with_models(known, "a", model=Model(name="t", format="tgi"))

    assert place(first, with_models(known, "a", "b"), slots=3).slots == first.slots
    assert place(Layout(), tgi, slots=3).slots == {"e-a": 1, "e-b": 2}


def test_knows_for_a_while_which_replica_a_server_was() -> None:
    layout = place(Layout(), table(("a", A)), A)
    name, replica_id = next(iter(layout.servers)), replica(A).id
    seen = [layout.replica_on(name)]
    layout = place(layout, table(("a",)))
    seen.append(layout.replica_on(name))
    layout = without(layout=layout, names=[name])
    seen.append(place(layout, table(("b", B)), B).replica_on(name))

    assert seen == [replica_id] * 3
    assert layout.replica_on("n99") == ""


def test_forgets_which_replicas_ended_long_ago() -> None:
    layout = Layout()
    for number in range(MOST_GONE + 10):
        layout = adopt(layout=layout, seen={f"n{number + 1}": 1})
        layout = without(layout=layout, names=[f"n{number + 1}"])

    assert list(layout.gone) == [f"n{number + 11}" for number in range(MOST_GONE)]


BOUNDED = {"max_concurrency": 2}
SEVERAL_KINDS = [
    service(name, A, **fields)
    for name, fields in (
        ("plain", {}),
        ("bounded", BOUNDED),
        ("model", {"model": MODEL}),
        ("model-bounded", {"model": MODEL, **BOUNDED}),
        ("tgi", {"model": Model(name="t", format="tgi")}),
    )
]


@pytest.mark.parametrize(
    ("slots", "placed"),
    [
        (16, [1, 7, 8, 12, 15]),
        # Where their own kind is full, they do without what matters least.
        (12, [1, 7, 8, 12, 4]),
        (7, [1, 7, 4, 5, 6]),
    ],
)
def test_puts_those_whose_callers_wait_where_leaving_is_noticed(
    slots: int, placed: list[int]
) -> None:
    known = Table(version=1, whole=True, gateway="g", endpoints=SEVERAL_KINDS)

    assert list(place(Layout(), known, slots=slots).slots.values()) == placed


def test_moves_one_whose_callers_now_wait_for_their_turn_and_only_that() -> None:
    known, bounded = table(("a", A)), [service("a", A, max_concurrency=2)]
    first = place(Layout(), known, A, slots=8)
    second = place(first, known.model_copy(update={"endpoints": bounded}), A, slots=8)
    third = place(second, known, A, slots=8)

    assert (first.slots, second.slots, third.slots) == ({"e-a": 1}, {"e-a": 7}, {"e-a": 7})
