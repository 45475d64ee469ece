"""Which requests a replica's end is put down to, and how they are told."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from apps.runs.control.last_requests import (
    MOST_KEPT,
    Request,
    kept,
    request,
    sent_again,
    sentence,
    unfinished,
)

EXIT = datetime(2030, 1, 1, tzinfo=UTC)


def closed(seconds: float, path: str = "/die", method: str = "GET") -> Request:
    """A request whose connection closed so long after the exit."""
    return Request(EXIT.timestamp() + seconds, method, path)


@pytest.mark.parametrize(
    ("seconds", "belongs"),
    [(-60, False), (-3.1, False), (-3, True), (-0.2, True), (0, True), (0.9, True), (1.1, False)],
)
def test_what_closed_near_the_exit_belongs_to_it(seconds: float, belongs: bool) -> None:
    assert bool(unfinished([closed(seconds)], exited_at=EXIT)) == belongs


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ([], ""),
        ([closed(0)], "exited while it answered GET /die"),
        ([closed(0), closed(0.1)], "exited while it answered GET /die"),
        (
            [closed(0), closed(0, "/x", "POST")],
            "exited while it answered GET /die and POST /x",
        ),
        (
            [closed(0, f"/{number}") for number in range(3)],
            "exited while it answered GET /0, GET /1 and GET /2",
        ),
        (
            [closed(0, f"/{number}") for number in range(9)],
            "exited while it answered GET /0, GET /1, GET /2 and 6 more",
        ),
    ],
)
def test_tells_of_some_once_each(requests: list[Request], told: str) -> None:
    assert sentence(requests) == told


@pytest.mark.parametrize(
    ("elsewhere", "is_again"),
    [
        ([], False),
        ([closed(-0.1)], True),
        ([closed(-29)], True),
        ([closed(-31)], False),
        ([closed(0.1)], False),
        ([closed(-0.1, "/other")], False),
        ([closed(-0.1, method="HEAD")], False),
        ([closed(-50), closed(-1)], True),
    ],
)
def test_knows_a_request_that_another_replica_had_before(
    elsewhere: list[Request], is_again: bool
) -> None:
    assert sent_again([closed(0)], elsewhere) == is_again


def test_keeps_the_newest_in_whatever_order_they_come() -> None:
    many = [closed(number) for number in range(MOST_KEPT + 5)]
    for one, other in itertools.permutations([many[::2], many[1::2]]):
        assert kept(one, [*other, *one]) == many[5:]


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("/a$(id);`x`|../b", "/a$(id);`x`|../b"),
        ("/a\nb\x00\x1b[31m c", "/ab[31mc"),
        ("/\N{RIGHT-TO-LEFT OVERRIDE}x\N{EURO SIGN}", "/x"),
        ("/" + "x" * 9000, "/" + "x" * 199),
    ],
)
def test_a_word_of_a_caller_is_short_and_visible(said: str, shown: str) -> None:
    found = request(1.0, said, said)

    assert (found.method, found.path) == (shown[:16], shown)
