"""`dstack gateway`: what one is told of a gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.api_state import FakeApi
from tests.integration.cli.conftest import Cli

EDGE: dict[str, Any] = {
    "name": "edge", "state": "running", "backend": "aws", "region": "eu-west-1", "host": None,
    "address": "203.0.113.7", "domain": "example.com", "default": True, "error": None,
    "step": None, "version": "0123456789abcdef", "is_current": False, "tunnels": 2,
    "runs": ["hello", "chat"], "reported_at": None,
    "certificates": {"valid": 1, "pending": 0, "failed": 1,
                     "first_expires_at": "2027-01-31T10:00:00Z"},
    "dns": {"name": "*.example.com", "type": "A", "value": "203.0.113.7",
            "asked": "gateway.example.com", "answer": "nothing", "is_right": False},
    "parts": {
        "traffic": {"rps": 12.34, "p95_ms": 84.2, "errors_percent": 0.0},
        "logs": {"items": [{"at": "2026-11-30T10:00:00Z", "text": "HAProxy 7 \x1b[31mstarted"}]},
    },
}  # fmt: skip


def test_shows_a_gateway_with_its_traffic_and_the_record_to_add(cli: Cli, api: FakeApi) -> None:
    api.gateways = [EDGE]

    said = cli("gateway", "show", "edge").out

    for line in (
        "Where:        aws eu-west-1 203.0.113.7",
        "Traffic:      12.3 requests/s, p95 84 ms, 0.0 % errors",
        "Tunnels:      2",
        "Certificates: 1 valid, 1 failed, first expires 2027-01-31",
        "Version:      0123456789ab (older than the server's)",
        "DNS:          gateway.example.com: nothing",
        "  *.example.com A 203.0.113.7",
    ):
        assert line in said.splitlines(), said
    assert json.loads(cli("gateway", "show", "edge", "--json").out)["traffic"]["rps"] == 12.34
    assert "HAProxy 7" in (logged := cli("gateway", "logs", "edge").out) and "\x1b" not in logged


@pytest.mark.parametrize(
    ("version", "is_current", "said"),
    [
        (None, False, "none yet"),
        (None, True, "of the server"),
        ("0123456789abcdef", True, "0123456789ab"),
    ],
)
def test_says_the_version_where_there_is_one(
    cli: Cli, api: FakeApi, version: str | None, is_current: bool, said: str
) -> None:
    api.gateways = [{**EDGE, "version": version, "is_current": is_current}]

    assert f"Version:      {said}" in cli("gateway", "show", "edge").out.splitlines()


def test_upgrades_no_gateway_that_has_the_servers_version(cli: Cli, api: FakeApi) -> None:
    api.gateways = [{**EDGE, "is_current": True}]

    said = cli("gateway", "upgrade", "edge").out

    assert "Gateway edge has this server's version, 0123456789ab." in said
