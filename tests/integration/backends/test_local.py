"""The server's own machine is opened for a project, used by it, and closed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.access import Access
from apps.backends import queries, services
from apps.core import crypto
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.offers import queries as offers
from apps.offers.lists.wishes import asked_for
from apps.runs.planning.request import PlanRequest
from apps.runs.services import plan
from tests import factories
from tests.people import People

WAITS = factories.CONFIGURATION + "retry: {on_events: [no-capacity], duration: 1h}\n"


@pytest.fixture(autouse=True)
def this_machine(agent_folder: Path) -> Path:
    return agent_folder


def opened(people: People) -> None:
    services.open_local(access=Access(user=people.root), project=people.project)


def close(access: Access, people: People) -> None:
    services.delete(access=access, backend=queries.named(people.project, "local"))


def closed(people: People) -> None:
    close(Access(user=people.root), people)


@pytest.mark.parametrize("text", [factories.CONFIGURATION, WAITS])
def test_says_who_can_do_what_where_nothing_can_run(people: People, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        plan(
            access=Access(user=people.bob),
            project=people.project,
            request=PlanRequest(configuration=text),
        )

    assert "has no backend yet" in refused.value.message
    assert "An admin of this server can open" in refused.value.message
    assert "dstack backend connect local --project main" in refused.value.message


def test_gives_offers_once_it_is_open(people: People) -> None:
    opened(people)

    found = offers.find(project=people.project, spec=asked_for())

    assert [offer.backend for offer in found.matches.offers] == ["local"]
    made = plan(
        access=Access(user=people.bob),
        project=people.project,
        request=PlanRequest(configuration=factories.CONFIGURATION),
    )
    assert [offer.backend for offer in made.offers] == ["local"]


def test_is_as_open_when_opened_twice(people: People) -> None:
    opened(people)
    opened(people)

    assert [backend.kind for backend in queries.backends_of(people.project)] == ["local"]


def test_gives_no_offer_once_it_is_closed(people: People) -> None:
    opened(people)
    closed(people)

    assert offers.find(project=people.project, spec=asked_for()).backends == {}
    with pytest.raises(NotFound):
        closed(people)


def test_opens_again_after_it_was_closed(people: People) -> None:
    opened(people)
    closed(people)
    opened(people)

    assert list(offers.find(project=people.project, spec=asked_for()).backends) == ["local"]


@pytest.mark.parametrize("state", ["submitted", "provisioning", "running", "idle", "stopping"])
def test_is_not_closed_under_a_service_that_needs_it(people: People, state: str) -> None:
    opened(people)
    factories.run(people.project, name="chat", state=state)

    with pytest.raises(Conflict) as refused:
        closed(people)

    assert refused.value.message.endswith("still need local: chat. Stop them first.")
    assert queries.backends_of(people.project).exists()


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_is_closed_after_the_services_ended(people: People, state: str) -> None:
    opened(people)
    factories.run(people.project, state=state)

    closed(people)

    assert not queries.backends_of(people.project).exists()


def test_is_closed_though_a_service_runs_elsewhere(people: People) -> None:
    opened(people)
    factories.backend(people.project, kind="cloud")
    factories.replica(factories.run(people.project), backend="cloud")

    closed(people)

    assert [backend.kind for backend in queries.backends_of(people.project)] == ["cloud"]


def test_is_not_closed_under_a_replica_though_there_is_another_backend(people: People) -> None:
    opened(people)
    factories.backend(people.project, kind="cloud")
    factories.replica(factories.run(people.project, name="chat"), backend="local")

    with pytest.raises(Conflict, match="chat"):
        closed(people)


def test_is_closed_for_one_project_only(people: People) -> None:
    other = factories.project("other", admin=people.alice)
    opened(people)
    services.open_local(access=Access(user=people.root), project=other)
    factories.run(other)

    closed(people)

    assert queries.backends_of(other).exists()


def test_keeps_the_machine_that_others_use_too(people: People) -> None:
    opened(people)
    backend = people.project.backends.get()
    instance = factories.instance(people.project, backend=backend, shared=True)

    closed(people)

    instance.refresh_from_db()
    assert services.provider_of(instance.backend).kind == "local"


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_is_opened_and_closed_by_an_admin_of_the_server_alone(people: People, who: str) -> None:
    access = Access(user=getattr(people, who))

    with pytest.raises(Forbidden, match="admin of this server"):
        services.open_local(access=access, project=people.project)
    opened(people)
    with pytest.raises(Forbidden, match="admin of this server"):
        close(access, people)


def test_is_not_opened_by_a_token_of_another_project(people: People) -> None:
    other = factories.project("other")
    token = factories.token(people.root, project=other).row

    with pytest.raises(Forbidden):
        services.open_local(access=Access(user=people.root, token=token), project=people.project)


def test_is_not_opened_where_no_agent_is_kept(people: People, this_machine: Path) -> None:
    this_machine.rmdir()

    with pytest.raises(Conflict, match="no agent is kept"):
        opened(people)
    assert "no machine of its own" in queries.why_missing("main")


def test_stays_closed_over_a_restart_with_other_addresses(people: People, settings: Any) -> None:
    other = factories.project("other")
    opened(people)
    services.open_local(access=Access(user=people.root), project=other)
    closed(people)
    settings.DSTACK_LOCAL_URL = "http://127.0.0.1:4567"

    services.refresh_local()

    assert not queries.backends_of(people.project).exists()
    configs = [crypto.decrypt(backend.config) for backend in other.backends.all()]
    assert [config["url"] for config in configs] == ["http://127.0.0.1:4567"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"kind": "oracle"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"kind": "local", "name": "mine"}, "name"),
        ({"kind": "local", "config": {"boot_path": "/etc/shadow"}}, "config"),
        ({"kind": "local", "config": {"url": "http://127.0.0.1:1"}}, "config"),
    ],
)
def test_takes_nothing_that_the_server_knows_itself(
    people: People, body: dict[str, Any], path: str
) -> None:
    client = Client(headers=factories.token(people.root).headers)

    answer = client.post("/api/projects/main/backends", body, content_type="application/json")

    assert answer.status_code == 422
    assert [detail["path"] for detail in answer.json()["error"]["details"]] == [path]
    assert not queries.backends_of(people.project).exists()


def test_shows_no_path_of_the_machine(people: People, this_machine: Path) -> None:
    opened(people)
    client = Client(headers=factories.token(people.bob).headers)

    answer = client.get("/api/projects/main/backends")

    assert [item["name"] for item in answer.json()["items"]] == ["local"]
    assert str(this_machine) not in answer.content.decode()
