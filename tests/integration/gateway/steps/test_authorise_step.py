"""Steps `identify` and `authorise`: who asks, and whether that one may."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.gateway.harness import ALICE, BOB

CAROL = "dsk_u_carol"


@pytest.mark.parametrize(
    ("service", "token", "status"),
    [
        ("hello", None, 401),
        ("hello", "dsk_u_nobody", 401),
        ("hello", f"{ALICE}, Bearer {BOB}", 401),
        ("hello", ALICE, 200),
        ("hello", BOB, 403),
        # A grant for one service is none for its project.
        ("hello", CAROL, 200),
        ("other", CAROL, 403),
        ("open", None, 200),
    ],
)
def test_lets_in_who_has_a_grant(
    client: httpx.Client, service: str, token: str | None, status: int
) -> None:
    headers = {"authorization": f"Bearer {token}"} if token else {}

    answer = client.get("/", headers={"host": f"{service}.localhost", **headers})

    assert answer.status_code == status
    assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


@pytest.mark.parametrize(
    "headers",
    [
        {"authentication": f"Bearer {ALICE}"},
        {"authentication": f'"Bearer {ALICE}"'},
        {"x-api-key": ALICE},
        {"x-api-key": f"Bearer {ALICE}"},
        {"api-key": ALICE},
        # Of several headers the first whose token is known decides.
        {"authorization": "Bearer nobody", "x-api-key": ALICE},
    ],
)
def test_reads_a_token_in_every_header_of_a_client(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    answer = client.get("/", headers={"host": "hello.localhost", **headers})

    assert answer.status_code == 200
