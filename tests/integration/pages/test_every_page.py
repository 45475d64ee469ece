"""What holds for each page alike: who gets in, by which method, and how it is sent."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.hosts.models import Host
from tests import factories
from tests.people import People, signed_in

PROJECT_PAGES = [
    ("overview", []),
    ("runs:list", []),
    ("runs:deploy", []),
    ("runs:models", []),
    ("routing:playground", []),
    ("runs:uploads", []),
    ("runs:service", ["hello"]),
    ("runs:service_logs", ["hello"]),
    ("runs:service_replicas", ["hello"]),
    ("runs:service_events", ["hello"]),
    ("runs:service_versions", ["hello"]),
    ("runs:service_configuration", ["hello"]),
    ("runs:service_settings", ["hello"]),
    ("runs:service_metrics", ["hello"]),
    ("runs:service_requests", ["hello"]),
    ("telemetry:requests", ["hello"]),
    ("telemetry:logs", ["hello"]),
    ("telemetry:metrics", ["hello"]),
    ("telemetry:metrics_data", ["hello"]),
    ("telemetry:alerts", ["hello"]),
    ("telemetry:figures", ["hello"]),
    ("telemetry:list_figures", []),
    ("telemetry:model_figures", []),
    ("telemetry:gateway_traffic", ["edge"]),
    ("telemetry:gateway_log", ["edge"]),
    ("autoscaling:decisions", ["hello"]),
    ("backends:list", []),
    ("backends:detail", ["prod"]),
    ("gateways:list", []),
    ("gateways:gateway", ["edge"]),
    ("gateways:certificates", ["edge"]),
    ("hosts:list", []),
    ("hosts:detail", ["desk"]),
    ("instances:list", []),
    ("costs:spend", []),
    ("instances:instance", ["machine"]),
    ("offers:list", []),
    ("accounts:tokens", []),
    ("accounts:members", []),
    ("accounts:project_settings", []),
]
ACTIONS = [
    ("runs:upload_files", []),
    ("runs:upload_delete", ["a" * 64]),
    ("runs:service_key", ["hello"]),
    ("routing:open_service", ["hello"]),
    ("routing:playground_chat", []),
    ("routing:playground_code", []),
    ("routing:playground_key", []),
    ("runs:service_stop", ["hello"]),
    ("runs:service_scale", ["hello"]),
    ("runs:service_rollback", ["hello"]),
    ("runs:service_delete", ["hello"]),
    ("runs:service_settings_save", ["hello", "access"]),
    ("accounts:token_revoke", [1]),
    ("backends:open_local", []),
    ("backends:backend_check", ["local"]),
    ("backends:backend_state", ["local"]),
    ("backends:backend_delete", ["local"]),
    ("instances:terminate", ["machine"]),
    ("instances:clear_cache", ["machine"]),
    ("gateways:certificate_remove", ["edge", 1]),
    ("gateways:change", ["edge"]),
    ("gateways:delete", ["edge"]),
    ("gateways:retry", ["edge"]),
    ("gateways:upgrade", ["edge"]),
    ("accounts:member_remove", ["bob"]),
    ("hosts:check", ["desk"]),
    ("hosts:accept-key", ["desk"]),
    ("hosts:remove", ["desk"]),
]
# These take a POST too.
FORMS = {"runs:deploy", "accounts:tokens", "accounts:members", "accounts:project_settings"}
FORMS |= {"gateways:certificates", "gateways:list"}


def address(name: str, words: list[object], project: str = "main") -> str:
    return reverse(name, args=[project, *words])


@pytest.fixture(autouse=True)
def hello(people: People) -> None:
    factories.run(people.project, name="hello")
    factories.gateway(people.project, name="edge")
    factories.backend(people.project, kind="aws", name="prod")
    # Of a backend that is closed: no page asks it for offers.
    closed = factories.backend(people.project, kind="cloud")
    closed.closed_at = timezone.now()
    closed.save()
    factories.instance(people.project, name="machine", backend=closed)
    Host.objects.create(
        project=people.project, name="desk", user="ann", address="a", state="failed"
    )


@pytest.mark.parametrize(("name", "words"), PROJECT_PAGES)
def test_opens_for_a_member(people: People, name: str, words: list[object]) -> None:
    answer = signed_in(people.bob).get(address(name, words))

    assert answer.status_code == 200
    assert answer["Cache-Control"] == "private, no-store"
    assert "script-src 'self'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(("name", "words"), [*PROJECT_PAGES, *ACTIONS])
def test_asks_who_is_not_signed_in_to_sign_in(
    people: People, name: str, words: list[object]
) -> None:
    answer = Client().get(address(name, words))

    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("accounts:sign_in"))


@pytest.mark.parametrize(("name", "words"), PROJECT_PAGES)
def test_is_not_found_by_a_stranger(people: People, name: str, words: list[object]) -> None:
    assert signed_in(people.charlie).get(address(name, words)).status_code == 404


@pytest.mark.parametrize(("name", "words"), ACTIONS)
def test_does_nothing_for_a_stranger(people: People, name: str, words: list[object]) -> None:
    assert signed_in(people.charlie).post(address(name, words)).status_code == 404


@pytest.mark.parametrize(("name", "words"), ACTIONS)
def test_refuses_to_act_on_a_get(people: People, name: str, words: list[object]) -> None:
    assert signed_in(people.alice).get(address(name, words)).status_code == 405


@pytest.mark.parametrize(("name", "words"), [p for p in PROJECT_PAGES if p[0] not in FORMS])
def test_refuses_a_post_to_what_is_only_read(
    people: People, name: str, words: list[object]
) -> None:
    assert signed_in(people.alice).post(address(name, words)).status_code == 405


@pytest.mark.parametrize("project", ["nope", "../main", "é", "x" * 300, "main; drop"])
@pytest.mark.parametrize(("name", "words"), PROJECT_PAGES)
def test_finds_no_project_of_a_hostile_name(
    people: People, name: str, words: list[object], project: str
) -> None:
    path = address(name, words).replace("/main/", f"/{project}/", 1)

    assert signed_in(people.root).get(path).status_code == 404


@pytest.mark.parametrize(("name", "words"), ACTIONS)
def test_refuses_a_form_without_its_csrf_token(
    people: People, name: str, words: list[object]
) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice)

    answer = client.post(address(name, words))

    assert answer.status_code == 403
    assert "too old" in answer.content.decode()
