"""The OpenAPI document, and what no route may do whatever it is sent."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.backends import services as backends
from dstack_web import api_document
from dstack_web.api import api
from tests import factories

SCHEMA: dict[str, Any] = api.get_openapi_schema()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}
HOSTILE = {
    "shell": "$(reboot); `id` | cat #",
    "path": "../../etc/passwd",
    "quotes": "' OR 1=1 --\"",
    "unicode": "\u202eñ🎉\ufeff",
    "control": "\x1b[2J\r\n",
    "long": "x" * 5000,
    "number": "-99999999999999999999999",
    "empty": "",
    "brackets": "{{7*7}}<script>",
}


@pytest.fixture
def client(db: None, tmp_path: Path, settings: Any) -> Client:
    """A global admin's client, which is stopped by no permission."""
    settings.MEDIA_ROOT = tmp_path
    root = factories.user("root", admin=True)
    project = factories.project("main", admin=root)
    config = {"boot_path": str(tmp_path / "agent.json"), "url": "http://127.0.0.1:1"}
    backends.connect(project=project, kind="local", config=config)
    factories.run(project, name="hello")
    return Client(headers=factories.token(root).headers)


def test_is_served(client: Client) -> None:
    assert client.get("/api/openapi.json").json()["info"]["title"] == "dstack-web"
    assert reverse("api:openapi-json") == "/api/openapi.json"


def test_names_each_operation_once_and_says_what_it_does() -> None:
    # HEAD is GET without the body.
    named = {route: each for route, each in OPERATIONS.items() if not route.startswith("HEAD")}
    ids = [operation["operationId"] for operation in named.values()]

    assert len(ids) == len(set(ids))
    assert all(operation["summary"] for operation in OPERATIONS.values())


def test_offers_one_way_to_sign_in() -> None:
    ways = {json.dumps(operation.get("security")) for operation in OPERATIONS.values()}

    assert ways == {'[{"TokenAuth": []}]', "null"}


def test_names_the_errors_of_each_operation_in_one_shape() -> None:
    shapes = {
        json.dumps(told["content"])
        for operation in OPERATIONS.values()
        for status, told in operation["responses"].items()
        if int(status) >= 400
    }
    submit = OPERATIONS["POST /api/projects/{project}/runs"]["responses"]
    users = OPERATIONS["GET /api/users"]["responses"]

    assert shapes == {json.dumps(api_document.CONTENT)}
    assert [int(s) for s in submit] == [201, 400, 503, 401, 403, 404, 422, 409, 413, 507]
    assert {404, 409, 413, 507}.isdisjoint(map(int, users))


def test_an_error_is_as_its_document_says(client: Client) -> None:
    body = {"configuration": "type: service\nport: no\n"}
    answer = client.post("/api/projects/main/runs", body, content_type="application/json").json()

    told = answer["error"]
    assert set(answer) == {"error"}
    assert set(told) == set(api_document.ERROR["properties"]["error"]["required"])
    assert [set(one) for one in told["details"]][:1] == [set(api_document.DETAIL["required"])]


def test_shows_its_documentation_from_this_server_alone(client: Client) -> None:
    response = client.get("/api/docs")

    page = response.content.decode()
    assert response.status_code == 200
    assert "://" not in page
    assert "script-src 'self'" in response["Content-Security-Policy"]


def address(path: str, value: str) -> str:
    known = {"project": "main", "name": "hello"}
    for part in path.split("/"):
        name = part.strip("{}")
        if part != name:
            path = path.replace(part, known.get(name, value or "x"))
    return path


def queries(operation: dict[str, Any]) -> list[str]:
    return [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]


WITH_QUERY = [
    (route, name)
    for route, operation in OPERATIONS.items()
    for name in queries(operation)
    # A stream without an end; its parameters are tried with its own tests.
    if not route.endswith("/logs")
]


def problem(status: int, content: bytes) -> str | None:
    """What is wrong with an answer to nonsense; None: it is a good answer or a clear refusal."""
    if status >= 500 or b"Traceback" in content:
        return f"{status}: {content[:200]!r}"
    if status >= 400 and content and "error" not in json.loads(content):
        return f"{status} in another shape: {content[:200]!r}"
    return None


@pytest.mark.parametrize(("route", "name"), WITH_QUERY, ids=lambda value: str(value)[-40:])
def test_answers_nonsense_in_a_query_with_a_sentence(client: Client, route: str, name: str) -> None:
    method, _, path = route.partition(" ")

    answers = {
        kind: client.generic(method, address(path, "x"), QUERY_STRING=f"{name}={_percent(value)}")
        for kind, value in HOSTILE.items()
    }

    problems = {kind: problem(a.status_code, a.content) for kind, a in answers.items()}
    assert problems == dict.fromkeys(HOSTILE)


def _percent(value: str) -> str:
    return "".join(f"%{byte:02X}" for byte in value.encode())


IN_PATH = [
    (route, part.strip("{}"))
    for route in OPERATIONS
    for part in route.split("/")
    if part.startswith("{") and not route.endswith("/logs")
]


@pytest.mark.parametrize(("route", "name"), IN_PATH, ids=lambda value: str(value)[-40:])
def test_answers_nonsense_in_a_path_with_a_sentence(client: Client, route: str, name: str) -> None:
    method, _, path = route.partition(" ")
    kinds = {kind: _percent(value) for kind, value in HOSTILE.items()}

    answers = {
        kind: client.generic(
            method,
            address(path.replace(f"{{{name}}}", value), "x"),
            b"{}",
            "application/json",
        )
        for kind, value in kinds.items()
    }

    problems = {kind: problem(a.status_code, a.content) for kind, a in answers.items()}
    assert problems == dict.fromkeys(HOSTILE)


def fields(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {}).get("content", {})
    reference = content.get("application/json", {}).get("schema", {}).get("$ref", "")
    schema = SCHEMA["components"]["schemas"].get(reference.rpartition("/")[2], {})
    return list(schema.get("properties", {}))


VALUES: dict[str, Any] = {**HOSTILE, "null": None, "list": [[]], "object": {"a": {"b": []}}}
VALUES |= {"true": True, "huge": 10**30, "fraction": 1e308, "negative": -1}
IN_BODY = [(route, field) for route, operation in OPERATIONS.items() for field in fields(operation)]


@pytest.mark.parametrize(("route", "field"), IN_BODY, ids=lambda value: str(value)[-40:])
def test_answers_nonsense_in_a_body_with_a_sentence(client: Client, route: str, field: str) -> None:
    method, _, path = route.partition(" ")
    good = {name: _good(name) for name in fields(OPERATIONS[route])}

    answers = {
        kind: client.generic(
            method,
            address(path, "x"),
            json.dumps({**good, field: value}),
            "application/json",
        )
        for kind, value in VALUES.items()
    }

    problems = {kind: problem(a.status_code, a.content) for kind, a in answers.items()}
    assert problems == dict.fromkeys(VALUES)


def _good(name: str) -> Any:
    known: dict[str, Any] = {
        "configuration": factories.CONFIGURATION,
        "name": "fresh",
        "username": "root",
    }
    known |= {"active": True, "role": "admin", "replicas": "1", "scope": "full"}
    known |= {"env": {}, "profile": {}, "overrides": {}, "runs": []}
    return known.get(name)


def test_tries_every_place_of_the_document() -> None:
    assert len(WITH_QUERY) > 10
    assert len(IN_PATH) > 20
    assert len(IN_BODY) > 15
    assert len(set(itertools.chain(WITH_QUERY, IN_PATH, IN_BODY))) > 45
