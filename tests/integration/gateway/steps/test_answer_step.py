"""Step `answer`: what the caller gets to see."""

from __future__ import annotations

import re

import httpx
import pytest


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Location: /there", "/services/main/open/there"),
        ("Location: /services/main/other/x", "/services/main/other/x"),
        ("Location: http://127.0.0.1:{port}/x", "http://127.0.0.1:{port}/services/main/open/x"),
        ("Location: https://elsewhere.example/x", "https://elsewhere.example/x"),
        ("Set-Cookie: a=1; Path=/app", "a=1; Path=/services/main/open/app"),
        ("Set-Cookie: dstack_session=1", "service_dstack_session=1"),
    ],
)
def test_gives_paths_their_prefix_back(client: httpx.Client, said: str, heard: str) -> None:
    port = client.base_url.port
    said, heard = said.format(port=port), heard.format(port=port)

    answer = client.get("/services/main/open/", headers={"x-answer": said})

    assert answer.headers[said.partition(":")[0]] == heard


def test_leaves_a_services_own_error_as_it_is(client: httpx.Client) -> None:
    headers = {"host": "open.localhost", "x-status": "503", "origin": "https://page.example"}

    answer = client.get("/mine", headers=headers)

    assert (answer.status_code, answer.json()["path"]) == (503, "/mine")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", "application/json"), ("text/html,*/*", "text/html; charset=utf-8")],
)
def test_says_its_own_errors_in_the_callers_form_to_pages_of_any_origin(
    client: httpx.Client, accept: str, kind: str
) -> None:
    headers = {"host": "hello.localhost", "accept": accept, "origin": "https://page.example"}

    answer = client.get("/", headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (401, kind)
    assert answer.headers["access-control-allow-origin"] == "https://page.example"
    assert answer.headers["vary"] == "Origin"


def test_says_errors_of_the_openai_api_in_its_form(client: httpx.Client) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "m"})

    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("headers", "heard"),
    [
        ({"x-request-id": "mine-1"}, "mine-1"),
        ({"x-request-id": "mine-1", "x-answer": "X-Request-Id: theirs"}, "theirs"),
        # Of what may stand in no line, we make another.
        ({"x-request-id": "a b"}, None),
        ({}, None),
    ],
)
def test_tells_the_caller_what_the_service_was_told(
    client: httpx.Client, headers: dict[str, str], heard: str | None
) -> None:
    answer = client.get("/", headers={"host": "open.localhost", **headers})

    told = {name.lower(): value for name, value in answer.json()["headers"]}
    assert answer.headers["x-request-id"] == (heard or told["x-request-id"])
    assert re.fullmatch("[A-Za-z0-9._:/-]+", answer.headers["x-request-id"])


@pytest.mark.parametrize("names", [("mine-1", "a b"), ("a b", "mine-1"), ("mine-1", "mine-2")])
def test_a_request_has_one_name(client: httpx.Client, names: tuple[str, str]) -> None:
    sent = [("host", "open.localhost"), *(("x-request-id", name) for name in names)]
    answer = client.get("/", headers=sent)

    seen = [value for key, value in answer.json()["headers"] if key.lower() == "x-request-id"]
    assert seen == [answer.headers["x-request-id"]] and seen[0] not in names


@pytest.mark.parametrize(("host", "status"), [("hello", 401), ("no", 404)])
def test_names_a_request_that_it_refuses(client: httpx.Client, host: str, status: int) -> None:
    answer = client.get("/", headers={"host": f"{host}.localhost", "x-request-id": "mine"})

    assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine")
