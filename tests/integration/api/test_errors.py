from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from apps.accounts.models import User
from apps.core.transition import Stale
from dstack_web.api import api

AsUser = Callable[[User], Client]


@pytest.fixture
def client(alice: User, as_user: AsUser) -> Client:
    return as_user(alice)


def error(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(response.content)["error"]
    assert set(found) == {"code", "message", "details"}
    assert "Traceback" not in found["message"]
    return found


def test_says_that_there_is_no_such_route(client: Client) -> None:
    found = error(client.get("/api/nothing/here"), 404)

    assert found["code"] == "not_found"
    assert "/api/docs" in found["message"]


def test_says_so_below_and_at_the_root_of_the_api(client: Client) -> None:
    error(client.get("/api/"), 404)
    error(client.post("/api/projects/main/unknown", {}), 404)


def test_names_the_methods_that_a_route_has(client: Client) -> None:
    response = client.put("/api/projects")

    assert error(response, 405)["code"] == "method_not_allowed"
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}


def test_asks_for_a_token(db: None) -> None:
    response = Client().get("/api/projects")

    assert error(response, 401)["code"] == "not_signed_in"
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_refuses_a_foreign_host_name(client: Client) -> None:
    error(client.get("/api/projects", headers={"Host": "evil.example"}), 400)


BODIES = {
    "empty": (b"", 422, "body"),
    "broken": (b'{"name": ', 400, "line 1, column 10"),
    "not an object": (b"[1, 2]", 422, "name"),
    "not UTF-8": (b'{"name": "\xff"}', 400, "UTF-8"),
    "too deep": (b"[" * 100_000, 400, ""),
    "not a number": (b'{"name": NaN}', 400, "NaN"),
    "endless": (b'{"name": 1e999}', 400, "1e999"),
    "too many digits": (b'{"name": ' + b"9" * 5000 + b"}", 400, ""),
    "NUL": (b'{"name": "\\u0000"}', 400, "NUL"),
    "half a pair": (b'{"name": "\\ud800"}', 400, "surrogate"),
    "wrong type": (b'{"name": {"a": 1}}', 422, "name"),
    "nothing of it": (b"{}", 422, "name"),
    "too large": (b" " * (5 * 2**20), 413, "too large"),
}


@pytest.mark.parametrize(("body", "status", "words"), BODIES.values(), ids=BODIES)
def test_refuses_a_body_with_a_sentence(
    client: Client, body: bytes, status: int, words: str
) -> None:
    response = client.post("/api/projects", body, content_type="application/json")

    assert words in error(response, status)["message"]


def test_names_the_field_that_is_wrong(client: Client) -> None:
    response = client.post("/api/tokens", {"name": "x", "runs": [1]}, "application/json")

    assert [each["path"] for each in error(response, 422)["details"]] == ["runs.0"]


@pytest.mark.parametrize("path", ["/api/projects/%00/runs", "/api/projects?cursor=%00", "/%00"])
def test_refuses_nul_in_an_address(client: Client, path: str) -> None:
    error(client.get(path), 400)


def test_hides_a_bug_behind_a_reference(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().post("/api/x", b"secret", "text/plain")

    response = api.on_exception(request, ZeroDivisionError("the secret cause"))

    found = error(response, 500)
    reference = found["message"].split()[-1].rstrip(".")
    assert reference in caplog.text
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize(
    ("raised", "status"), [(OperationalError("gone"), 503), (Stale("changed"), 409)]
)
def test_names_what_the_person_can_do(raised: Exception, status: int) -> None:
    error(api.on_exception(RequestFactory().get("/api/x"), raised), status)


def test_leaves_pages_alone(client: Client) -> None:
    response = client.get("/no-such-page")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
