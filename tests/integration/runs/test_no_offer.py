"""Nothing fits: the same sentence by API, plan and page."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import Project
from apps.backends import services as backends
from tests import factories
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_url")]

YAML = "type: service\nport: 8000\ncommands: [serve]\n"


@pytest.fixture
def client(project: Project) -> Client:
    return Client(headers=factories.token(project.members.get()).headers)


@pytest.fixture
def host(project: Project) -> str:
    """The name of this machine, which is all that there is."""
    (offer,) = backends.provider_of(project.backends.get()).offers()
    return offer.instance


def offers(client: Client, **query: Any) -> Any:
    return client.get("/api/projects/main/offers", query)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"gpu": "banana"}, "resources.gpu: {}"),
        ({"gpu": "H100:8"}, "resources.gpu: {}"),
        ({"cpu": "4096"}, "resources.cpu: {}"),
        ({"memory": "900TB"}, "resources.memory: {}"),
        ({"disk": "900TB"}, "resources.disk: {}"),
        ({"backend": "nope"}, "backends: local"),
        ({"region": "mars"}, "regions: local"),
        ({"instance_type": "p4d"}, "instance_types: {}"),
        ({"spot_policy": "spot"}, "spot_policy: {}"),
    ],
)
def test_offers_say_why_there_is_none(
    client: Client, host: str, query: dict[str, str], path: str
) -> None:
    found = offers(client, **query).json()

    assert (found["items"], found["total_offers"]) == ([], 0)
    assert found["why_none"].startswith(f"No offer fits. {path.format(host)} ")


@pytest.mark.parametrize(
    "query",
    [
        {"gpu": ""},
        {"gpu": "$(id)"},
        {"cpu": "banana"},
        {"memory": "banana"},
        {"disk": "-1GB"},
        {"spot_policy": "banana"},
        {"max_price": "-1"},
        {"max_price": "nan"},
        {"max_price": "banana"},
        {"backend": ""},
        {"limit": "0"},
        {"limit": "banana"},
    ],
)
def test_offers_refuse_what_is_no_wish(client: Client, query: dict[str, str]) -> None:
    answer = offers(client, **query)

    assert answer.status_code == 422
    (key,) = query
    assert key in answer.content.decode()


def test_says_nothing_where_something_fits(client: Client) -> None:
    assert offers(client).json()["why_none"] is None


def test_api_plan_and_page_say_the_same(client: Client, project: Project) -> None:
    said = offers(client, gpu="banana").json()["why_none"]
    text = YAML + "resources: {gpu: banana}\n"

    refused = client.post(
        "/api/projects/main/runs/plan", {"configuration": text}, "application/json"
    ).json()["error"]
    waits = client.post(
        "/api/projects/main/runs/plan",
        {"configuration": text + "retry: true\n"},
        "application/json",
    ).json()
    page = signed_in(project.members.get()).get("/projects/main/offers/", {"gpu": "banana"})

    assert refused["message"] == said
    assert said in waits["warnings"]
    shown = html.unescape(page.content.decode())
    assert said in re.sub("</?code>", "`", shown)
    assert refused["details"][0]["path"] == "resources.gpu"
    assert refused["details"][0]["message"] in said
