"""Step `find`: which service is asked."""

from __future__ import annotations

import httpx
import pytest

OWN = "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "path", "status", "seen"),
    [
        ("open.localhost", "/x?y=1", 200, "/x?y=1"),
        ("OPEN.localhost.:8080", "/x", 200, "/x"),
        (OWN, "/services/main/open/x", 200, "/x"),
        ("localhost", "/services/main/open/x", 200, "/x"),
        # No service's host is an address, so each is ours.
        ("198.51.100.7", "/services/main/open/x", 200, "/x"),
        ("nobody.localhost", "/x", 404, None),
        (OWN, "/services/main/nobody/x", 404, None),
        (OWN, "/", 404, None),
    ],
)
def test_finds_a_service_by_its_host_or_its_path(
    client: httpx.Client, host: str, path: str, status: int, seen: str | None
) -> None:
    answer = client.get(path, headers={"host": host})

    assert answer.status_code == status
    if seen:
        assert answer.json()["path"] == seen
    else:
        assert answer.json()["error"]["code"] == "not_found"


def test_answers_for_itself_on_its_own_names_only(client: httpx.Client) -> None:
    own = client.get("/-/healthz", headers={"host": OWN})
    of_service = client.get("/-/healthz", headers={"host": "open.localhost"})

    assert (own.status_code, own.text) == (200, "ok")
    assert of_service.json()["path"] == "/-/healthz"


@pytest.mark.parametrize("path", ["/-/metrics", "/-/metrics/haproxy"])
@pytest.mark.parametrize("token", ["-", "none"])
def test_shows_no_figures_where_no_token_is_set(
    client: httpx.Client, path: str, token: str
) -> None:
    answer = client.get(path, headers={"host": OWN, "authorization": f"Bearer {token}"})

    assert answer.status_code == 404


def test_finds_a_model_by_the_body(client: httpx.Client) -> None:
    answer = client.post(
        "/v1/chat/completions",
        json={"model": "m"},
        headers={"host": OWN, "authorization": "Bearer dsk_u_alice"},
    )

    assert answer.json()["path"] == "/api/v2/chat/completions"


def test_refuses_a_head_that_is_too_long(client: httpx.Client) -> None:
    headers = {"host": "open.localhost", "x-long": "x" * 66_000}

    assert client.get("/", headers=headers).status_code == 431
