from __future__ import annotations

from typing import Any

import pytest

from apps.backends import way_home

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
