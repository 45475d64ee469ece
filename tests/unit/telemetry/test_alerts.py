"""What a service is marked for, and what it is not."""

from __future__ import annotations

from typing import Any

import pytest

from apps.telemetry.alerts.decide import Facts, alerts

HOST = "hello.example.org"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, ""),
        ({"calls": 1_000}, ""),
        ({"calls": 9, "refused": 9}, ""),
        ({"calls": 10, "refused": 1}, ""),
        ({"calls": 1_234, "refused": 1_200}, "1,200 of 1,234 requests in the last 15 minutes were"),
        ({"calls": 10, "refused": 2}, "compare path, method and key with"),
        ({"calls": 10, "refused": 10, "has_model": True}, "compare the model's name and"),
        ({"calls": 1_000, "errors": 9}, ""),
        ({"calls": 1_000, "errors": 10}, "10 of 1,000 requests"),
        ({"calls": 5, "errors": 5}, ""),
        (
            {"unhealthy": [(3, "HTTP 500")]},
            "Replica 3 gets no requests, its probe fails: HTTP 500.",
        ),
        ({"unhealthy": [(3, "")]}, "its probe fails."),
        ({"unhealthy": [(3, "x" * 5_000)]}, "x" * 300),
        ({"ready": 2, "most_replicas": 2, "held_most": 0}, ""),
        ({"ready": 1, "most_replicas": 2, "held_most": 7}, ""),
        ({"ready": 7, "most_replicas": None, "held_most": 7}, ""),
        ({"ready": 1, "most_replicas": 1, "held_most": 7}, "the 1 replica that it may have"),
        ({"ready": 2, "most_replicas": 2, "held_most": 1_200}, "up to 1,200 requests waited"),
        ({"budget": "The budget is near."}, "The budget is near."),
        ({"certificate": {"host": HOST, "state": "valid", "error": "not renewed"}}, ""),
        ({"certificate": {"host": HOST, "state": "pending", "error": ""}}, "is being ordered"),
        ({"certificate": {"host": HOST, "state": "failed", "error": "no A"}}, "failed: no A."),
        ({"certificate": {"host": HOST, "state": "failed"}}, "the last order failed."),
    ],
)
def test_marks_what_a_person_must_look_at(known: dict[str, Any], words: str) -> None:
    found = alerts(Facts(minutes=15, **known))
    assert len(found) == bool(words)
    assert all(words in each.text and len(each.text) < 500 for each in found)


def test_says_the_worst_first() -> None:
    found = alerts(Facts(minutes=15, calls=10, refused=5, errors=5, unhealthy=[(0, "")]))
    assert [each.place for each in found] == ["replicas", "logs", "logs"]
    assert "failed" in found[1].text and "refused" in found[2].text
