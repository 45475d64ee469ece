"""What gateway and server of neighbouring versions say to each other about traffic.

The look at the counters below is as it was sent before requests without an answer were in it, every
field filled. It is never changed to make a test pass: gateways that send just this are in use.
"""

from __future__ import annotations

from typing import Any

from gateway import schema

LOOK: dict[str, Any] = {
    "boot_id": "b1",
    "sequence": 7,
    "at": 1800000000.5,
    "counts": [
        {
            "endpoint": "e1",
            "key": "3",
            "by_class": [0, 5, 0, 1, 0],
            "bytes_in": 10,
            "bytes_out": 20,
            "usages": 1,
            "tokens_in": 30,
            "tokens_out": 40,
        }
    ],
    "load": [{"endpoint": "e1", "in_flight": 2, "held": 1, "replicas": {"r1": 2}}],
    "latency": [
        {
            "endpoint": "e1",
            "total": [1, 2],
            "first_byte": [3],
            "fine_total": {"4": 5},
            "fine_first_byte": {"6": 7},
        }
    ],
}
REQUEST = {
    "endpoint": "e1",
    "at": 1800000000.25,
    "id": "abc-1",
    "method": "GET",
    "path": "/",
    "status": 499,
    "ended": "caller",
    "key": "3",
    "replica": "r2",
    "held_ms": 12.5,
    "first_byte_ms": None,
    "total_ms": 30.0,
    "tokens_in": 1,
    "tokens_out": None,
    "weight": 16,
}
UNANSWERED = {"replica": "r1", "at": 1800000000.25, "method": "GET", "path": "/die"}


def with_news(message: Any) -> Any:
    """The message as a later version sends it: each object has a field that nobody knows yet."""
    if isinstance(message, list):
        return [with_news(item) for item in message]
    if not isinstance(message, dict) or "r1" in message or "4" in message or "6" in message:
        return message
    return {key: with_news(value) for key, value in message.items()} | {"of_later": {"a": [1]}}


def test_reads_what_the_version_before_sends() -> None:
    read = schema.Stats.model_validate(LOOK)

    assert read.unanswered == []
    sent = read.model_dump(mode="json", exclude_defaults=True)
    assert schema.Stats.model_validate(sent) == read
    # The server of before is told nothing that it does not know, while there is nothing to tell.
    assert sent.keys() == LOOK.keys()


def test_ignores_what_a_later_version_adds() -> None:
    message = {**LOOK, "unanswered": [UNANSWERED], "requests": [REQUEST]}

    read = schema.Stats.model_validate(with_news(message))

    assert read == schema.Stats.model_validate(message)
    assert [each.model_dump() for each in read.unanswered] == [UNANSWERED]
    assert [each.model_dump() for each in read.requests] == [REQUEST]


def test_a_server_that_does_not_ask_for_requests_is_told_none() -> None:
    table = schema.Table.model_validate({"version": 1, "whole": True, "gateway": "g1"})

    assert table.request_rows == 0
