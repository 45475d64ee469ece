"""One request out of HAProxy's line."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from gateway.schema import Endpoint
from gateway.state.sample_line import ASKED, USED, AskedRequest, SampleLine, UsedTokens
from gateway.traffic.requests.ended import parse

TIMES = SampleLine("e-hello", "1", "240", "1", "2", "3", "4", "240831", "10062")
TOKENS = UsedTokens("k-1", "-", "-")
ASKED_FOR = AskedRequest("r-1", "GET", "L2E", "200", "--", "n7", "-", "-", "-", "-")
HELLO = Endpoint(id="e-hello", version=1, paths=["/services/main/hello"])


def line(**words: str) -> str:
    parts = [
        each._replace(**{name: word for name, word in words.items() if name in each._fields})
        for each in (TIMES, TOKENS, ASKED_FOR)
    ]
    times, used, asked = (" ".join(each) for each in parts)
    return f"{times}{USED}{used}{ASKED}{asked}"


def read(**words: str) -> dict[str, Any]:
    found = parse(line(**words), at=5.0)
    assert found is not None
    row = found.as_message(endpoint=HELLO, replica_on=lambda name: f"on-{name}", weight=3)
    return row.model_dump()


def path(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_reads_all_of_it() -> None:
    assert read() == {
        "endpoint": "e-hello",
        "at": 5.0,
        "id": "r-1",
        "method": "GET",
        "path": "/a",
        "status": 200,
        "ended": "",
        "key": "k-1",
        "replica": "on-n7",
        "held_ms": 2.0,
        "first_byte_ms": 10.062,
        "total_ms": 240.831,
        "tokens_in": None,
        "tokens_out": None,
        "weight": 3,
    }


@pytest.mark.parametrize(
    ("end", "status", "response", "said", "ended"),
    [
        ("--", "200", "4", 200, ""),
        ("CD", "200", "4", 200, "caller"),
        ("CH", "-1", "-1", 499, "caller"),
        ("CQ", "400", "-1", 499, "caller"),
        ("SH", "502", "-1", 502, "replica"),
        ("SD", "200", "4", 200, "replica"),
        ("sH", "504", "-1", 504, "timeout"),
        ("cD", "200", "4", 200, "timeout"),
        ("PR", "400", "-1", 400, "gateway"),
        ("KD", "200", "4", 200, "gateway"),
        ("LR", "429", "-1", 429, ""),
        # However a WebSocket ends, it is over.
        ("CD", "101", "4", 101, ""),
        ("SD", "101", "4", 101, ""),
        ("sQ", "-1", "-1", 0, "timeout"),
    ],
)
def test_says_who_broke_off(end: str, status: str, response: str, said: int, ended: str) -> None:
    row = read(end=end, status=status, response=response)

    assert (row["status"], row["ended"]) == (said, ended)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/", "/"),
        (b"", ""),
        (b"/a b", "/a%20b"),
        (b"/\xff\x00\x1b[31m\n", "/%FF%00%1B[31m%0A"),
        (b"/services/main/hello/x", "/x"),
        (b"/services/main/hellos/x", "/services/main/hellos/x"),
        (b"/" + b"a" * 199, "/" + "a" * 199),
        (b"/" + b"a" * 200, "/" + "a" * 196 + "..."),
        (b"/" + b"\xff" * 100, ("/" + "%FF" * 100)[:197] + "..."),
    ],
)
def test_shows_a_path_in_visible_ascii(raw: bytes, shown: str) -> None:
    assert read(path=path(raw) or "-")["path"] == shown


@pytest.mark.parametrize(
    ("words", "replica", "held_ms"),
    [
        ({"server": "hold", "held_seconds": "0.150", "served": "n9"}, "on-n9", 152.0),
        ({"server": "hold"}, "on--", 240.0),
        ({"server": "sidecar", "held_seconds": "0.150"}, "on-sidecar", 152.0),
        ({"queue": "-1"}, "on-n7", 0.0),
        # What no hold said: a replica that is translated sets the header itself.
        ({"server": "sidecar", "held_seconds": "nan"}, "on-sidecar", 2.0),
        ({"server": "sidecar", "held_seconds": "inf"}, "on-sidecar", 2.0),
        ({"server": "sidecar", "held_seconds": "1e400"}, "on-sidecar", 2.0),
        ({"server": "sidecar", "held_seconds": "-5"}, "on-sidecar", 2.0),
        ({"server": "sidecar", "held_seconds": "9" * 400}, "on-sidecar", 2.0),
    ],
)
def test_says_how_long_it_was_held(words: dict[str, str], replica: str, held_ms: float) -> None:
    row = read(**words)

    assert (row["replica"], row["held_ms"]) == (replica, held_ms)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ({"request_id": "a\x1b"}, "id", ""),
        ({"request_id": "-" * 200}, "id", ""),
        ({"method": "-"}, "method", ""),
        ({"key": "-"}, "key", ""),
        ({"path": "!"}, "path", ""),
        ({"response": "-1"}, "first_byte_ms", None),
        # A stream whose first piece came long after its headers.
        ({"total": "1400", "first_us": "1350200"}, "first_byte_ms", 1350.2),
        # A clock that was set meanwhile.
        ({"first_us": "3600000000"}, "first_byte_ms", 240.831),
        ({"first_us": "-7"}, "first_byte_ms", 10.0),
        ({"total_us": "-"}, "total_ms", 240.0),
        # A body that came slowly is no part of what was taken exactly.
        ({"total": "5000", "total_us": "12000"}, "total_ms", 5000.0),
        ({"tokens_in": "7"}, "tokens_in", 7),
    ],
)
def test_leaves_out_what_is_not_known(words: dict[str, str], name: str, value: object) -> None:
    assert read(**words)[name] == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Proxy services started.",
        line().partition(ASKED)[0],
        line()[:-2],
        line(endpoint="-"),
        line(weight="x"),
        line(status="-"),
        line(total="-1"),
        line(method="GET /"),
    ],
)
def test_reads_nothing_else(text: str) -> None:
    assert parse(text, at=5.0) is None
