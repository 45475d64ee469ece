"""The fields in which Python and HAProxy's rules tell each other things."""

from __future__ import annotations

import pytest

from gateway.hold import proxy_header
from gateway.state import limits, records
from gateway.state.records import FromHold, Limit, ModelRoute, Pace, Route, ToHold


def cut_out(words: str, text: str) -> str:
    """Return what HAProxy's converter `field` cuts out of a text."""
    numbers = words.partition("field(")[2].removesuffix(")").split(",")
    place, parted_by, *count = numbers
    fields = text.split(parted_by)[int(place) - 1 :]
    return parted_by.join(fields if count == ["0"] else fields[:1])


@pytest.mark.parametrize("place", records.PLACES, ids=lambda place: place.name)
def test_lets_a_rule_find_each_field_that_python_writes(place: records.Place) -> None:
    values = {name: f"its-{name}" for name in place.kind._fields}
    if place.has_colons:
        values[place.has_colons] = "a:b::c"
    text = records.write(place.kind._make(values.values()))

    found = {name: cut_out(words, text) for name, words in place.fields()}

    assert found == {f"{place.name}.{name}": value for name, value in values.items()}


def test_says_in_a_models_route_what_all_routes_say_at_the_same_place() -> None:
    shared = [name for name in Route._fields if name in ModelRoute._fields]

    assert shared == ["slot", "auth", "project", "endpoint", "limited"]
    assert [ModelRoute._fields.index(name) for name in shared] == [
        Route._fields.index(name) for name in shared
    ]


def test_leaves_out_a_last_field_that_may_be_missing_and_no_other() -> None:
    route = Route("s1", "0", "p", "e", "1", "0")

    assert records.write(route) == "s1:0:p:e:1:0"
    assert records.write(route._replace(asleep="asleep")) == "s1:0:p:e:1:0:asleep"
    assert records.write(Limit("1", "2", "3", "c", "")) == "1:2:3:c:"


def test_reads_what_it_wrote_with_colons_in_the_last_field() -> None:
    route = ModelRoute("s1", "0", "p", "e", "openai", "1", "/a:b")

    assert records.read(ModelRoute, records.write(route)) == route


def test_refuses_a_text_with_fewer_fields() -> None:
    with pytest.raises(TypeError):
        records.read(Pace, "1:2")


def test_begins_a_limit_with_its_pace() -> None:
    assert Limit._fields[: len(Pace._fields)] == Pace._fields
    assert limits.pace(10, 5) == "100000:500000:60600000"


def test_reads_of_haproxy_the_fields_that_rules_write() -> None:
    assert tuple(proxy_header.WORDS.groupindex) == ToHold._fields


def test_writes_requests_for_the_hold_as_the_hold_reads_them() -> None:
    words = records.words()

    assert words["to_hold.first"] == "%[var(txn.slot)]:%rt:0"
    again = dict(zip(ToHold._fields, words["to_hold.again"].split(":"), strict=False))
    back = FromHold(slot="s1", seconds="1.0", attempt=2, number=41)
    assert again == {
        "slot": "%[var(txn.slot)]",
        "number": "%[var(txn.number,0)]",
        "attempt": "%[var(txn.attempt)]",
    }
    assert records.write(back) == "s1:1.0:2:41"
