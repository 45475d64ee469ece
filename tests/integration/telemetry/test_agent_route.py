from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.agent import wire
from apps.telemetry import agent_api
from apps.telemetry.logs import queries
from tests import factories
from tests.printing import Printer

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/api/agent/logs"


def post(replica: Printer, body: bytes) -> Any:
    client = Client(headers=factories.agent_headers(replica.instance))
    return client.post(URL, body, content_type="application/json")


def batch(replica: Printer, text: str) -> bytes:
    line = {"seq": 0, "at": "2030-01-01T00:00:00Z", "text": text, "new": "field"}
    return json.dumps({"logs": [{"id": str(replica.workload.pk), "lines": [line]}]}).encode()


@pytest.mark.parametrize(
    ("sent", "kept"), [("hello", "hello"), ("\0", "\ufffd"), ("\ud800", "?"), ("\u2028", "\u2028")]
)
def test_takes_what_an_agent_sends(replica: Printer, sent: str, kept: str) -> None:
    response = post(replica, batch(replica, sent))

    assert response.json() == {"next_seq": {str(replica.workload.pk): 1}}
    assert [line.text for line in queries.read(run=replica.run)] == [kept]


def test_asks_for_the_token_of_an_agent(replica: Printer) -> None:
    user = factories.token(factories.user(admin=True))

    answers = [
        Client(headers=headers).post(URL, b"{}", content_type="application/json").status_code
        for headers in ({}, user.headers)
    ]

    assert answers == [401, 401]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"logs": 1}', b'{"logs": [{"id": 1}]}', b"[" * 10_000, b"\xff"]
)
def test_refuses_what_is_no_batch(replica: Printer, body: bytes) -> None:
    response = post(replica, body)

    assert response.status_code == 422
    assert response.json()["error"]["message"]


def test_refuses_a_batch_that_is_too_large(
    replica: Printer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_api, "LIMIT_BYTES", 100)

    assert post(replica, b" " * 101).status_code == 413


def test_reads_just_what_the_wire_says() -> None:
    message = wire.LogBatch([wire.WorkloadLog("a", [wire.LogLine(3, "now", "text")])])

    body = json.dumps(wire.to_json(message)).encode()

    assert agent_api.parse(body) == message == wire.from_json(wire.LogBatch, json.loads(body))
