"""Connecting over HTTP: the answer waits for a worker, and no answer has a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.backends import queries
from apps.backends.api import waiting
from apps.backends.models import Backend, Check
from dstack_web.celery import app
from tests import factories
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.people import People

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "wJalrXUtnFEMI/K7MDENG"
KEYS = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": SECRET}
BODY: dict[str, Any] = {"kind": "aws", "config": {"creds": KEYS, "regions": ["us-east-1"]}}
ALL = "/api/projects/main/backends"


@pytest.fixture
def worker(redis_url: str) -> Iterator[None]:
    """A worker that takes up each task at once."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker, and no patience."""
    monkeypatch.setattr(waiting, "MOST_SECONDS", 0.0)


def sent(who: User, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    client = Client(headers=factories.token(who).headers)
    answer = client.generic(method, path, json.dumps(body or {}), "application/json")
    text = answer.content.decode()
    assert SECRET not in text
    return answer.status_code, json.loads(text) if text else None


@pytest.mark.usefixtures("worker")
def test_connects_shows_changes_checks_and_deletes(people: People, aws: Emulator) -> None:
    status, made = sent(people.alice, "POST", ALL, BODY)
    assert (status, made["name"], made["state"], made["scope"]) == (
        201,
        "aws",
        "enabled",
        "project",
    )
    assert made["config"]["regions"] == ["us-east-1"] and "creds" not in made["config"]
    assert made["check"]["state"] == "passed"
    assert sent(people.bob, "GET", f"{ALL}/aws")[1]["check"] is None

    status, changed = sent(people.alice, "PATCH", f"{ALL}/aws", {"config": {"public_ips": False}})
    assert (status, changed["config"]["public_ips"]) == (200, False)
    assert sent(people.alice, "PATCH", f"{ALL}/aws", {"disabled": True})[1]["state"] == "disabled"
    status, told = sent(people.alice, "POST", f"{ALL}/aws/check")
    assert (status, told["state"], told["problems"]) == (200, "passed", [])
    assert sent(people.alice, "DELETE", f"{ALL}/aws") == (204, None)
    assert sent(people.alice, "GET", f"{ALL}/aws")[0] == 404


@pytest.mark.usefixtures("worker")
def test_says_each_problem_and_saves_nothing(people: People, aws: Emulator) -> None:
    aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)

    status, said = sent(people.alice, "POST", ALL, BODY)

    assert (status, said["error"]["code"]) == (422, "invalid")
    assert said["error"]["message"] == ("Backend aws was not connected: its check found 1 problem.")
    assert "lack ec2:RunInstances. Allow this: {" in said["error"]["details"][0]["message"]
    assert not Backend.objects.exists()
    assert [check.config for check in Check.objects.all()] == [""]

    assert sent(people.alice, "POST", ALL, {**BODY, "check": False})[0] == 201
    status, told = sent(people.alice, "POST", f"{ALL}/aws/check")
    assert (status, len(told["problems"])) == (200, 1)
    assert json.loads(told["problems"][0]["policy"])["Statement"]


@pytest.mark.usefixtures("nobody")
def test_names_a_check_to_follow_where_that_takes_long(people: People, aws: Emulator) -> None:
    status, check = sent(people.alice, "POST", ALL, BODY)
    assert (status, check["state"], check["answered_at"]) == (202, "checking", None)

    path = f"/api/projects/main/backend-checks/{check['id']}"
    assert sent(people.alice, "GET", path)[0] == 202
    assert sent(people.bob, "GET", path)[0] == 403
    other = factories.project("other", admin=people.charlie)
    assert sent(people.charlie, "GET", path.replace("main", other.name))[0] == 404
    assert sent(people.alice, "GET", f"{path}x")[0] == 404


@pytest.mark.usefixtures("worker")
def test_a_backend_of_the_server_is_shared_and_taken_back(people: People, aws: Emulator) -> None:
    body = {**BODY, "name": "ours", "projects": ["main"]}
    status, made = sent(people.root, "POST", "/api/backends", body)
    assert (status, made["scope"], made["projects"]) == (201, "server", ["main"])

    [seen] = sent(people.bob, "GET", ALL)[1]["items"]
    assert (seen["name"], seen["scope"], seen["config"], seen["projects"]) == (
        "ours",
        "server",
        {},
        None,
    )
    assert sent(people.alice, "DELETE", f"{ALL}/ours")[0] == 403
    assert sent(people.root, "PATCH", "/api/backends/ours", {"projects": []})[0] == 200
    assert sent(people.bob, "GET", ALL)[1]["items"] == []
    assert sent(people.root, "PATCH", "/api/backends/ours", {"projects": "every"})[0] == 422
    status, said = sent(people.root, "PATCH", "/api/backends/ours", {"projects": 7})
    assert (status, [each["path"] for each in said["error"]["details"]]) == (422, ["projects"])


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "config": []},
        {**BODY, "config": SECRET},
        {**BODY, "name": 7},
        {**BODY, "name": "\0"},
        {**BODY, "check": "perhaps"},
        {**BODY, "unheard_of": SECRET},
        {**BODY, "kind": "x" * 10_000},
        {**BODY, "config": {"creds": {"a": {"b": [SECRET] * 1000}}}},
        [],
    ],
)
def test_refuses_what_is_no_backend(people: People, body: Any) -> None:
    status, said = sent(people.alice, "POST", ALL, body)

    assert status in (400, 422)
    assert said["error"]["message"]
    assert not queries.backends_of(people.project).exists()


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("is_refused", [True, False])
@pytest.mark.parametrize("check", [True, False])
def test_a_change_of_several_things_is_made_whole_or_not_at_all(
    people: People, aws: Emulator, is_refused: bool, check: bool
) -> None:
    made = {**BODY, "name": "ours", "check": False}
    assert sent(people.root, "POST", "/api/backends", made)[0] == 201
    if is_refused:
        aws.faults.refused["RunInstances"] = Refusal("UnauthorizedOperation", 403)
    regions = ["us-west-2"] if check or not is_refused else ["nowhere"]
    body = {"config": {"regions": regions}, "projects": "all", "disabled": True, "check": check}

    status, _ = sent(people.root, "PATCH", "/api/backends/ours", body)

    after = sent(people.root, "GET", "/api/backends/ours")[1]
    told = (after["config"]["regions"], after["projects"], after["state"])
    before: Any = (["us-east-1"], [], "enabled")
    assert (status, told) == (
        (422, before) if is_refused else (200, (["us-west-2"], "all", "disabled"))
    )


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("projects", [["nope"], ["main"]])
def test_who_may_not_have_it_leaves_its_configuration_as_it_is(
    people: People, aws: Emulator, projects: list[str]
) -> None:
    sent(people.root, "POST", "/api/backends", {**BODY, "name": "ours", "check": False})
    factories.backend(people.project, kind="aws", name="ours")
    body = {"config": {"regions": ["us-west-2"]}, "projects": projects}

    assert sent(people.root, "PATCH", "/api/backends/ours", body)[0] in (409, 422)

    assert sent(people.root, "GET", "/api/backends/ours")[1]["config"]["regions"] == ["us-east-1"]
    assert not Check.objects.exists()


def test_says_to_who_may_change_it_that_no_machine_could_call(
    people: People, settings: Any
) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"

    _, made = sent(people.alice, "POST", ALL, {**BODY, "check": False})

    assert made["notes"][0].startswith("No machine elsewhere can call this server")
    assert sent(people.bob, "GET", f"{ALL}/aws")[1]["notes"] == []
