"""Requests without an answer, as HAProxy tells them."""

from __future__ import annotations

import pytest

from gateway.traffic.unanswered import MOST_METHOD, MOST_PATH, Try, parse

LINE = "7 1800000000.000123 s12 n34 GET /die"


def test_reads_what_haproxy_tells() -> None:
    assert list(parse(f"{LINE}\n\n")) == [Try(7, 1800000000.000123, "n34", "GET", "/die")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Unknown command: 'show unanswered', but maybe one of these:",
        LINE.replace("n34", "hold"),
        LINE.replace("/die", "/a b"),
        LINE.replace("/die", "/\N{EURO SIGN}"),
        LINE.replace("GET", ""),
        LINE.replace("7", "x"),
    ],
)
def test_reads_nothing_else(text: str) -> None:
    assert list(parse(text)) == []


def test_cuts_words_that_are_long() -> None:
    (found,) = parse(LINE.replace("GET", "G" * 600).replace("/die", "/" * 600))

    assert (len(found.method), len(found.path)) == (MOST_METHOD, MOST_PATH)
    assert found.path.endswith("...")
