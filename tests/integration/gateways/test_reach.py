"""Where machines find the server's own gateway, and what is said where they would not."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import Project
from apps.gateways import reach
from apps.gateways.models import Gateway
from apps.instances.models import Instance
from apps.instances.tunnels import claims
from dstack_web.bootstrap import bootstrap
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)

HERE, FAR = "http://127.0.0.1:3000", "http://192.0.2.9:3000"


def start(settings: Any, *, agents: str, people: str, tunnel_port: int) -> Gateway:
    """Start a server with these settings."""
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = agents, people
    settings.DSTACK_GATEWAY_SSH_PORT = tunnel_port
    bootstrap(admin_password=None, admin_token=None, gateway_token="dsk_g_of_the_tests")
    return Gateway.objects.get(name="local")


@pytest.mark.parametrize(
    ("agents", "people", "address"),
    [
        (HERE, HERE, "127.0.0.1"),
        (FAR, "https://dstack.example", "192.0.2.9"),
        (HERE, "https://dstack.example", "dstack.example"),
        ("http://web:3000", "http://[2001:db8::9]:3000", "2001:db8::9"),
    ],
)
def test_machines_find_the_gateway_where_they_call_the_server(
    settings: Any, agents: str, people: str, address: str
) -> None:
    found = start(settings, agents=agents, people=people, tunnel_port=2222)

    assert found.address == address


def test_a_restart_keeps_where_tunnels_are_taken_until_they_are_off(settings: Any) -> None:
    start(settings, agents=FAR, people=FAR, tunnel_port=2222)
    Gateway.objects.update(tunnel_port=2222)

    assert start(settings, agents=FAR, people=FAR, tunnel_port=2222).tunnel_port == 2222
    assert start(settings, agents=FAR, people=FAR, tunnel_port=0).tunnel_port is None


def test_agents_are_told_that_the_gateway_is_found_elsewhere(settings: Any) -> None:
    found = start(settings, agents=FAR, people=FAR, tunnel_port=2222)
    instance = factories.instance(Project.objects.get(name="main"))
    workload = factories.workload(instance)
    claims.claim(gateway_id=found.pk, workload=workload, at=workload.created_at)
    before = Instance.objects.get(pk=instance.pk).revision

    start(settings, agents=FAR, people=FAR, tunnel_port=2222)
    assert Instance.objects.get(pk=instance.pk).revision == before
    start(settings, agents="http://192.0.2.10:3000", people=FAR, tunnel_port=2222)
    assert Instance.objects.get(pk=instance.pk).revision > before


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({}, "aws", ""),
        ({"address": "127.0.0.1"}, "aws", "set DSTACK_AGENT_URL"),
        ({"address": "127.0.0.1"}, "local", ""),
        ({"address": "", "domain": "apps.example"}, "aws", ""),
        ({"address": "", "domain": "localhost"}, "aws", "set DSTACK_AGENT_URL"),
        ({"tunnel_port": None}, "aws", "has not reported yet"),
        ({"tunnel_port": None}, "local", ""),
        ({"tunnel_port": None, "backend": "aws"}, "local", "has not reported yet"),
    ],
)
def test_says_what_keeps_machines_from_a_gateway(
    fields: dict[str, Any], kind: str, words: str
) -> None:
    said = reach.of(factories.gateway(**fields))(kind)

    assert words in said
    assert bool(said) is bool(words)


def test_a_gateway_that_takes_no_tunnels_names_the_variable() -> None:
    made = factories.gateway(tunnel_port=None)
    made.reported_at = made.created_at

    assert "set DSTACK_GATEWAY_SSH_PORT, to 2222 for example" in reach.of(made)("aws")


@pytest.mark.parametrize(
    ("bind", "kinds", "is_told"),
    [
        ("127.0.0.1", ["local", "aws"], True),
        ("::1", ["aws"], True),
        ("127.0.0.1", ["local"], False),
        ("127.0.0.1", [], False),
        ("0.0.0.0", ["aws"], False),
        ("192.0.2.9", ["aws"], False),
    ],
)
def test_tells_that_a_gateway_on_loopback_may_be_closed(
    settings: Any, bind: str, kinds: list[str], is_told: bool
) -> None:
    settings.DSTACK_BIND = bind
    said = reach.doubts(factories.gateway(preset=True), kinds)

    assert [f"on {bind} alone (DSTACK_BIND)" in each for each in said] == [True] * is_told


def test_a_gateway_elsewhere_is_not_where_the_server_listens(settings: Any) -> None:
    settings.DSTACK_BIND = "127.0.0.1"

    assert reach.doubts(factories.gateway(), ["aws"]) == []


def test_what_is_published_nowhere_needs_no_tunnel() -> None:
    assert reach.of(None)("aws") == ""
