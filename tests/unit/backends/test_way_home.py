from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from apps.backends import way_home
from gateway.schema import RELAY_PORT

NEAR = [
    "http://127.0.0.1:3000",
    "http://127.1.2.3",
    "http://[::1]:3000",
    "http://localhost:3000",
    "http://dstack.localhost",
    "http://web:3000",
    "http://0.0.0.0:3000",
    "http://[::]:3000",
    "",
]
FAR = ["https://dstack.example", "http://192.0.2.1:3000", "http://[2001:db8::1]:3000"]


@pytest.mark.parametrize("url", NEAR)
def test_an_address_that_means_nothing_elsewhere_is_near(url: str) -> None:
    assert way_home.is_near(url)


@pytest.mark.parametrize("url", FAR)
def test_any_other_address_is_one_for_machines(url: str) -> None:
    assert not way_home.is_near(url)


@pytest.mark.parametrize(
    ("agents", "people", "called"),
    [
        (FAR[0], FAR[1], FAR[0]),
        (NEAR[0], FAR[1], FAR[1]),
        (NEAR[5], FAR[0], FAR[0]),
        (FAR[1], NEAR[0], FAR[1]),
    ],
)
def test_machines_call_the_address_of_agents_first(
    settings: Any, agents: str, people: str, called: str
) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = agents, people

    assert way_home.address() == called


def test_says_what_to_set_where_no_machine_could_call(settings: Any) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = NEAR[0], NEAR[3]

    with pytest.raises(way_home.NoWayHome, match="set DSTACK_AGENT_URL to an address"):
        way_home.address()


@dataclass
class Relay:
    name: str = "far"
    instance_id: int | None = 7
    tunnel_host: str = "192.0.2.9"
    tunnel_port: int | None = 2222
    tunnel_user: str = "dstack-tunnel"
    tunnel_host_key: str = "ssh-ed25519 AAAA"


def test_machines_call_a_server_that_nobody_can_call_through_a_gateway(settings: Any) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = NEAR[0], NEAR[3]

    way = way_home.of(Relay())

    assert (way.kind, way.url) == (way_home.GATEWAY, "http://127.0.0.1:621")
    assert (way.host, way.ssh_port, way.user) == ("192.0.2.9", 2222, "dstack-tunnel")
    assert (way.host_key, way.port) == ("ssh-ed25519 AAAA", RELAY_PORT)


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        (None, "dstack gateway create --domain DOMAIN --backend BACKEND --region REGION"),
        (Relay(instance_id=None), "dstack gateway create"),
        (Relay(tunnel_port=None), "Gateway far, .* has not said yet"),
        (Relay(tunnel_host_key=""), "Gateway far, .* has not said yet"),
    ],
)
def test_without_a_gateway_says_how_to_make_one(
    settings: Any, gateway: Relay | None, said: str
) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = NEAR[0], NEAR[3]

    with pytest.raises(way_home.NoWayHome, match=said):
        way_home.of(gateway)


def test_a_server_that_machines_reach_is_called_directly(settings: Any) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = FAR[0], NEAR[3]

    assert way_home.of(Relay()).kind == way_home.DIRECT
    assert way_home.of(None).url == FAR[0]


def test_the_port_at_gateways_is_that_of_their_schema() -> None:
    assert way_home.RELAY_PORT == RELAY_PORT
