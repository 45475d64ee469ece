"""`dstack requests`."""

from __future__ import annotations

import json

from apps.cli.commands.runs import requests
from tests.fakes.api_state import FakeApi
from tests.integration.cli.conftest import Cli


def test_lists_single_requests(cli: Cli, api: FakeApi) -> None:
    usual = {"at": "2030-01-01T10:00:00Z", "method": "GET", "path": "/", "status": 200, "ended": "",
             "key": "", "replica": None, "held_ms": 0.0, "first_byte_ms": None, "total_ms": 84.0,
             "tokens_in": None, "tokens_out": None, "request_id": "", "weight": 1}  # fmt: skip
    chat = {**usual, "path": "/v1/chat", "key": "ci", "replica": 1, "held_ms": 48_000.0,
            "first_byte_ms": 3.14159, "total_ms": 50_000.0, "tokens_in": 7, "tokens_out": 1000,
            "request_id": "abc-1"}  # fmt: skip
    cut = {**usual, "status": 0, "ended": "timeout", "method": "", "path": ""}
    api.add_run("hello")
    api.requests = {"kept": True, "one_in": 20, "items": [chat, cut]}

    done = cli("requests", "hello", "--slowest", "--status", "failed", "--id", "abc-1")

    head, first, second = (line.split("  ") for line in done.out.splitlines())
    assert [cell.strip() for cell in head if cell] == list(requests.COLUMNS)
    assert [cell.strip() for cell in first if cell] == [
        *("2030-01-01 10:00:00", "200", "GET", "/v1/chat", "ci", "1", "48.00 s", "3.14 ms"),
        *("50.00 s", "7/1,000", "abc-1"),
    ]
    assert [cell.strip() for cell in second if cell] == [
        *("2030-01-01 10:00:00", "- timeout", *"------", "84 ms", "-", "-"),
    ]
    assert done.err == "Warning: Sampled: about 1 in 20 requests is listed.\n"
    asked = api.seen[-1].query
    wanted = {"order": "slowest", "status": "failed", "request_id": "abc-1"}
    assert {name: values[0] for name, values in asked.items()} == wanted


def test_says_that_requests_are_not_kept(cli: Cli, api: FakeApi) -> None:
    api.add_run("hello")
    api.requests = {"kept": False, "one_in": 1, "items": []}

    assert "DSTACK_REQUEST_HOURS is 0" in cli("requests", "hello").err
    assert json.loads(cli("requests", "hello", "--json").out) == api.requests
