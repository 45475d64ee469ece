from __future__ import annotations

from typing import Any

import pytest

from apps.runs import states
from apps.runs.pages.attention import Facts, reason
from apps.runs.pages.load import Load

BUSY = Load(minutes=15, calls=1_000)
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("serves", {"ready": 1, "load": BUSY}, ""),
    ("starts for the first time", {"state": states.PROVISIONING}, ""),
    ("sleeps", {"state": states.IDLE, "desired": 0}, ""),
    ("ended as asked", {"state": states.STOPPED, "error": "old", "notice": "old"}, ""),
    ("is being stopped", {"state": states.STOPPING, "retried": {0: "exited"}}, ""),
    ("failed", {"state": states.FAILED, "error": "exited with code 1"}, "exited with code 1"),
    ("failed and said nothing", {"state": states.FAILED}, "It failed."),
    (
        "found no offer",
        {"state": states.PROVISIONING, "retried": {0: "no offer fits: 8xH200 is sold out"}},
        "Not ready, tried again: no offer fits: 8xH200 is sold out",
    ),
    (
        "is over the limit of its project",
        {"state": states.PROVISIONING, "retried": {0: "main may have 2 instances"}},
        "Not ready, tried again: main may have 2 instances",
    ),
    (
        "tried again in silence",
        {"retried": {3: ""}},
        "Not ready, tried again: the try before failed",
    ),
    (
        "lacks one of three",
        {"desired": 3, "ready": 2, "retried": {2: "out of memory"}},
        "1 of 3 replicas is tried again: out of memory",
    ),
    (
        "lacks two of three",
        {"desired": 3, "ready": 1, "retried": {1: "", 2: "out of memory"}},
        "2 of 3 replicas are tried again: out of memory",
    ),
    ("was scaled to nothing meanwhile", {"desired": 0, "retried": {0: "exited"}}, ""),
    (
        "fails its probe",
        {"failing": {1: "connection refused"}},
        "1 replica gets no requests, probe fails: connection refused",
    ),
    (
        "fails probes in silence",
        {"failing": {0: "", 1: ""}},
        "2 replicas get no requests, probe fails",
    ),
    (
        "gave up a version",
        {"ready": 1, "notice": "Version 2 was given up."},
        "Version 2 was given up.",
    ),
    (
        "answers with errors",
        {"ready": 1, "load": Load(15, calls=1_000, errors=10)},
        "10 of 1,000 requests failed (5xx) in the last 15 minutes",
    ),
    ("answers with few errors", {"ready": 1, "load": Load(15, calls=1_000, errors=9)}, ""),
    ("was asked too little to tell", {"ready": 1, "load": Load(15, calls=9, errors=9)}, ""),
    (
        "is at its limit",
        {"ready": 2, "most_replicas": 2, "load": Load(15, held_most=1_200)},
        "At its limit of 2 replicas: 1,200 requests waited",
    ),
    (
        "is at its limit of one",
        {"ready": 1, "most_replicas": 1, "load": Load(15, held_most=3)},
        "At its limit of 1 replica: 3 requests waited",
    ),
    ("has room to grow", {"ready": 1, "most_replicas": 2, "load": Load(15, held_most=9)}, ""),
    ("does not scale by itself", {"ready": 1, "load": Load(15, held_most=9)}, ""),
    ("is at its limit and nobody waits", {"ready": 2, "most_replicas": 2, "load": BUSY}, ""),
    (
        "has several troubles: what keeps it from serving is said",
        {"retried": {0: "exited"}, "failing": {1: "refused"}, "notice": "a notice"},
        "Not ready, tried again: exited",
    ),
]


@pytest.mark.parametrize(("facts", "said"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_says_why_a_service_needs_a_look(facts: dict[str, Any], said: str) -> None:
    assert reason(Facts(**{"state": states.RUNNING, "desired": 1, **facts})) == said
