"""Step `rewrite`: what the service gets to see."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.integration.gateway.harness import ALICE


def seen(answer: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.json()["headers"]}


@pytest.mark.parametrize(
    ("path", "inside", "prefix"),
    [
        ("/services/main/open/", "/", "/services/main/open"),
        ("/services/main/open/a/b?c", "/a/b?c", "/services/main/open"),
        ("/services/main/kept/a", "/services/main/kept/a", None),
    ],
)
def test_hides_the_prefix_of_a_path_route_unless_it_is_kept(
    client: httpx.Client, path: str, inside: str, prefix: str | None
) -> None:
    answer = client.get(path)

    assert answer.json()["path"] == inside
    assert seen(answer).get("x-forwarded-prefix") == prefix


def test_leads_to_the_slash_of_a_path_route(client: httpx.Client) -> None:
    answer = client.get("/services/main/open?a=1")

    assert (answer.status_code, answer.headers["location"]) == (307, "/services/main/open/?a=1")


@pytest.mark.parametrize(
    ("sent", "left"),
    [
        ({"authorization": f"Bearer {ALICE}"}, {}),
        ({"authorization": f"Bearer {ALICE}", "x-api-key": "its own"}, {"x-api-key": "its own"}),
        ({"x-api-key": ALICE}, {}),
        ({"api-key": ALICE}, {}),
        (
            {"x-api-key": ALICE, "cookie": "a=1; dstack_session=s; b=2"},
            {"cookie": "a=1; b=2"},
        ),
    ],
)
def test_takes_our_credentials_and_no_others_away(
    client: httpx.Client, sent: dict[str, str], left: dict[str, str]
) -> None:
    headers = seen(client.get("/", headers={"host": "hello.localhost", **sent}))

    names = ("authorization", "x-api-key", "api-key", "cookie")
    assert {name: headers[name] for name in names if name in headers} == left


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"x-forwarded-for": "6.6.6.6", "x-real-ip": "6.6.6.6"}, {"x-forwarded-for": "127.0.0.1"}),
        ({"x-forwarded-proto": "https"}, {"x-forwarded-proto": "http"}),
        ({"x-dstack-slot": "s1"}, {"x-dstack-slot": None}),
        ({"x-request-id": "mine"}, {"x-request-id": "mine"}),
        ({"upgrade": "h2c", "connection": "upgrade"}, {"upgrade": None}),
    ],
)
def test_believes_nothing_that_a_caller_says_of_itself(
    client: httpx.Client, sent: dict[str, str], expected: dict[str, Any]
) -> None:
    headers = seen(client.get("/", headers={"host": "open.localhost", **sent}))

    assert {name: headers.get(name) for name in expected} == expected
    assert headers["x-forwarded-host"] == "open.localhost"
