"""What a gateway makes of the control plane's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import BadTable
from gateway.schema import Endpoint, Key, Table
from gateway.state import route_table


def endpoint(id: str, version: int = 1, **values: Any) -> Endpoint:
    return Endpoint(id=id, version=version, project="p", **values)


def whole(version: int, *endpoints: Endpoint) -> Table:
    return Table(version=version, whole=True, gateway="g", endpoints=list(endpoints))


def part(version: int, *endpoints: Endpoint) -> Table:
    return whole(version, *endpoints).model_copy(update={"whole": False})


def ids(found: Table) -> list[tuple[str, int]]:
    return [(each.id, each.version) for each in found.endpoints]


def test_adds_what_is_new_and_replaces_what_changed() -> None:
    known = whole(1, endpoint("a"), endpoint("b"))
    merged = route_table.merge(known=known, update=part(2, endpoint("b", 2), endpoint("c", 2)))

    assert (merged.version, ids(merged)) == (2, [("a", 1), ("b", 2), ("c", 2)])


def test_removes_what_has_a_tombstone() -> None:
    known = whole(1, endpoint("a"), endpoint("b"))
    merged = route_table.merge(known=known, update=part(2, endpoint("a", 2, deleted=True)))

    assert ids(merged) == [("b", 1)]


def test_passes_over_an_answer_that_comes_late() -> None:
    known = whole(5, endpoint("a", 5))
    merged = route_table.merge(known=known, update=part(3, endpoint("a", 3)))

    assert (merged.version, ids(merged)) == (5, [("a", 5)])


def test_changes_nothing_when_an_answer_comes_twice() -> None:
    known = whole(1, endpoint("a"))
    update = part(2, endpoint("a", 2, deleted=True), endpoint("b", 2))
    once = route_table.merge(known=known, update=update)

    assert route_table.merge(known=once, update=update) == once


def test_replaces_everything_by_a_whole_table_even_an_older_one() -> None:
    merged = route_table.merge(known=whole(9, endpoint("a", 9)), update=whole(2, endpoint("b", 2)))

    assert (merged.version, ids(merged)) == (2, [("b", 2)])


def test_keeps_the_list_that_did_not_change() -> None:
    known = whole(1, endpoint("a"))
    update = Table(version=2, whole=False, gateway="g", keys=[Key(id="k", version=2)])

    assert route_table.merge(known=known, update=update).endpoints is known.endpoints


@pytest.mark.parametrize(
    "values",
    [
        {"id": "a b"},
        {"id": "a;b"},
        {"id": "a:b"},
        {"id": "a/b"},
        {"id": ""},
        {"id": "x" * 65},
        {"project": "p:q"},
        {"hosts": ["a b"]},
        {"hosts": ["A.localhost"]},
        {"hosts": ["a\nb"]},
        {"hosts": ["é.localhost"]},
        {"paths": ["/services/main"]},
        {"paths": ["/services/main/a/b"]},
        {"paths": ["/services/main/a\n"]},
        {"paths": ["/services/../a b"]},
        {"replicas": [{"id": "r", "address": "localhost:80"}]},
        {"replicas": [{"id": "r", "address": "127.0.0.1"}]},
        {"replicas": [{"id": "r", "address": "127.0.0.1:0"}]},
        {"replicas": [{"id": "r", "address": "127.0.0.1:65536"}]},
        {"replicas": [{"id": "r", "address": "127.0.0.1:80;x"}]},
        {"replicas": [{"id": "r;x", "address": "127.0.0.1:80"}]},
        {"replicas": [{"id": "r", "address": "1.2.3:80"}]},
    ],
)
def test_refuses_an_endpoint_that_breaks_the_contract(values: dict[str, Any]) -> None:
    entry = {"id": "a", "version": 1, **values}
    text = json.dumps({"version": 1, "whole": True, "gateway": "g", "endpoints": [entry]})

    with pytest.raises(BadTable, match="refused"):
        route_table.parse(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": "x"}', "\x00"])
def test_refuses_what_is_no_table(text: str) -> None:
    with pytest.raises(BadTable):
        route_table.parse(text)


def test_passes_over_fields_of_a_later_version() -> None:
    text = '{"version": 1, "whole": true, "gateway": "g", "later": 1, "schema_version": 2}'

    assert route_table.parse(text).version == 1
