"""On which gateway a service is published: none, the default one, the one that it names."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.gateways import queries, states
from apps.gateways.machines import verbs
from apps.gateways.models import Gateway, Publication
from tests import factories
from tests.fakes.cloud import World
from tests.integration.gateways.on_machines import create, pass_time, publication, serve
from tests.integration.runs.clouds import YAML

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

PLAN, PAGE = "/api/projects/cloudy/runs/plan", "/projects/cloudy/deploy/"
COMMAND = "dstack gateway create --domain example.com --backend cloud --region REGION"


@pytest.fixture(autouse=True)
def callable_by_machines(settings: Any) -> None:
    settings.DSTACK_AGENT_URL = "https://dstack.example"


@pytest.fixture
def client(owner: Access) -> Client:
    found = Client(headers=factories.token(owner.user).headers)
    found.force_login(owner.user)
    return found


def planned(client: Client, configuration: str) -> str:
    asked = {"configuration": configuration}
    return client.post(PLAN, asked, "application/json").content.decode()


def shown(client: Client, configuration: str) -> str:
    asked = {"configuration": configuration, "action": "preview"}
    return html.unescape(client.post(PAGE, asked).content.decode())


def test_where_there_is_none_the_plan_says_the_command(
    world: World, client: Client, cloudy: Project
) -> None:
    for said in (planned(client, YAML), shown(client, YAML)):
        assert "the service will run but have no public address" in said
        assert COMMAND in said


def test_one_that_is_named_and_is_not_there_is_refused_with_those_that_are(
    world: World, owner: Access, client: Client, cloudy: Project
) -> None:
    for name in ("edge", "other"):
        create(owner, cloudy, name=name)
    sentence = "project cloudy has no gateway 'nowhere' (it has edge, other)"
    for said in (planned(client, f"{YAML}gateway: nowhere\n"),
                 shown(client, f"{YAML}gateway: nowhere\n")):  # fmt: skip
        assert sentence in said


def test_of_several_the_default_is_taken_unless_another_is_named_and_the_next_follows(
    world: World, owner: Access, client: Client, cloudy: Project
) -> None:
    first = create(owner, cloudy, name="edge", domain="edge.example")
    second = create(owner, cloudy, name="other", domain="other.example")
    pass_time(30)
    for each in (first, second):
        serve(each)
    assert "hello.edge.example" in planned(client, YAML)
    assert "hello.other.example" in planned(client, f"{YAML}gateway: other\n")

    verbs.update(access=owner, publication=publication(second), default=True)
    assert "hello.other.example" in planned(client, YAML)
    verbs.delete(access=owner, publication=publication(second), at=timezone.now())

    assert Publication.objects.get(is_default=True).gateway == first
    assert "hello.edge.example" in planned(client, YAML)


@pytest.mark.parametrize(
    ("default", "then"),
    [(None, ["edge", "edge"]), (True, ["edge", "other"]), (False, ["local", "local"])],
)
def test_the_first_that_a_project_makes_is_its_default_unless_it_says_otherwise(
    world: World, owner: Access, cloudy: Project, default: bool | None, then: list[str]
) -> None:
    factories.gateway(cloudy, name="local", backend="local", preset=True)

    taken = []
    for name in ("edge", "other"):
        create(owner, cloudy, name=name, domain=f"{name}.example", default=default)
        taken.append(Publication.objects.get(is_default=True).gateway.name)

    assert taken == then


def test_while_the_default_one_could_not_be_made_another_is_taken(
    world: World, owner: Access, cloudy: Project
) -> None:
    first, second = create(owner, cloudy), create(owner, cloudy, name="other")
    assert queries.gateway_for(cloudy) == first

    for made_in_vain, taken in ((first, second), (second, first)):
        Gateway.objects.filter(pk=made_in_vain.pk).update(state=states.GAVE_UP)
        assert queries.gateway_for(cloudy) == taken
