from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import tokens
from apps.accounts.models import Member
from apps.accounts.tokens import TokenRequest
from apps.gateways.models import Gateway
from apps.routing import services
from apps.routing.models import Entry
from apps.specs.parse import parse
from gateway.schema import RateLimit
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Any:
    return factories.project("main", admin=factories.user("alice"))


@pytest.fixture
def gateway(project: Any) -> Gateway:
    return factories.gateway(project)


def publish(gateway: Gateway) -> Any:
    services.publish_all(gateway_ids=[gateway.pk])
    gateway.refresh_from_db()
    return services.table(gateway=gateway, since=0)


def test_publishes_host_path_and_replicas(project: Any, gateway: Gateway) -> None:
    run = factories.run(project, name="hello", gateway=gateway)
    ready = factories.replica(run, address="127.0.0.1:20000")
    factories.replica(run, num=1, state="starting", address="127.0.0.1:20001")

    (endpoint,) = publish(gateway).endpoints

    assert endpoint.hosts == ["hello.localhost"]
    assert endpoint.paths == ["/services/main/hello"]
    assert [(u.id, u.address) for u in endpoint.replicas] == [(str(ready.pk), "127.0.0.1:20000")]


def test_publishes_rate_limits_with_header_names_in_lower_case(
    project: Any, gateway: Gateway
) -> None:
    spec = """
type: service
commands: [serve]
port: 8000
rate_limits:
  - {rps: 10, burst: 5}
  - {prefix: /v1, rps: 0.5, key: {type: header, header: X-User}}
"""
    factories.run(project, gateway=gateway, spec=parse(spec).to_json())

    (endpoint,) = publish(gateway).endpoints

    assert endpoint.rate_limits == [
        RateLimit(prefix="/", rps=10, burst=5),
        RateLimit(prefix="/v1", rps=0.5, header="x-user"),
    ]


def test_publishes_how_long_a_replica_may_be_still(project: Any, gateway: Gateway) -> None:
    spec = "type: service\ncommands: [serve]\nport: 8000\nidle_timeout: 2m\n"
    factories.run(project, gateway=gateway, spec=parse(spec).to_json())

    (endpoint,) = publish(gateway).endpoints

    assert endpoint.idle_timeout_seconds == 120


def test_publishes_the_bound_of_a_token(project: Any, gateway: Gateway) -> None:
    wanted = TokenRequest("key", rps=5, burst=10)
    tokens.create_token(user=project.members.get(), request=wanted)

    (key,) = publish(gateway).keys

    assert (key.rps, key.burst) == (5, 10)


def test_publishing_again_keeps_the_version(project: Any, gateway: Gateway) -> None:
    factories.run(project, gateway=gateway)
    before = publish(gateway).version

    assert publish(gateway).version == before


def test_sends_only_what_is_newer_with_tombstones(project: Any, gateway: Gateway) -> None:
    run = factories.run(project, gateway=gateway)
    factories.run(project, gateway=gateway)
    seen = publish(gateway).version
    type(run).objects.filter(pk=run.pk).update(state="stopped")
    publish(gateway)

    news = services.table(gateway=gateway, since=seen)

    assert [(e.id, e.deleted) for e in news.endpoints] == [(str(run.pk), True)]
    assert not news.whole


def test_sends_all_to_a_gateway_from_another_life(project: Any, gateway: Gateway) -> None:
    factories.run(project, gateway=gateway)
    version = publish(gateway).version

    assert services.table(gateway=gateway, since=version + 100).whole


def test_a_user_token_opens_its_projects(project: Any, gateway: Gateway) -> None:
    token = factories.token(project.members.get())
    stranger = factories.token(factories.user("charlie"))

    opened = {key.hash: key.projects for key in publish(gateway).keys}

    assert opened == {token.row.hash: [str(project.pk)], stranger.row.hash: []}


def test_a_service_key_opens_its_runs_alone(project: Any, gateway: Gateway) -> None:
    run = factories.run(project, name="hello", gateway=gateway)
    factories.run(project, name="other", gateway=gateway)
    alice = project.members.get()
    factories.token(alice, project=project, run_names=["hello"])

    (key,) = publish(gateway).keys

    assert (key.projects, key.endpoints) == ([], [str(run.pk)])


def test_a_service_key_opens_the_successor_of_its_run(project: Any, gateway: Gateway) -> None:
    alice = project.members.get()
    factories.token(alice, project=project, run_names=["hello"])
    publish(gateway)
    run = factories.run(project, name="hello", gateway=gateway)

    services.publish_runs(run_ids=[run.pk])

    (entry,) = Entry.objects.filter(kind="key")
    assert entry.payload["endpoints"] == [str(run.pk)]


@pytest.mark.parametrize(
    "ended",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_leaves_out_tokens_that_ended(project: Any, gateway: Gateway, ended: Any) -> None:
    factories.token(project.members.get(), **ended)

    assert publish(gateway).keys == []


def test_a_member_who_left_calls_nothing(project: Any, gateway: Gateway) -> None:
    factories.token(project.members.get())
    publish(gateway)
    Member.objects.all().delete()

    assert [key.projects for key in publish(gateway).keys] == [[]]


def test_publishes_only_on_gateways_of_the_project(project: Any, gateway: Gateway) -> None:
    elsewhere = factories.gateway(factories.project())
    factories.token(project.members.get())

    assert [key.projects for key in publish(elsewhere).keys] == [[]]
