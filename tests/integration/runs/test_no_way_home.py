"""A server that no machine of a cloud could call: said before anything is deployed."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.models import Backend
from apps.instances.models import Instance
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
SAID = (
    "No machine elsewhere can call this server at http://127.0.0.1:3000. Make a gateway, "
    "through which they call it: `dstack gateway create --domain DOMAIN --backend BACKEND "
    "--region REGION`. Or set DSTACK_AGENT_URL to an address that machines reach."
)


@pytest.fixture(autouse=True)
def on_loopback(settings: Any) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"


@pytest.fixture
def client(owner: Access) -> Client:
    found = Client(headers=factories.token(owner.user).headers)
    found.force_login(owner.user)
    return found


def text(client: Client, path: str) -> str:
    """Return a page with its commands as sentences have them."""
    shown = html.unescape(client.get(path).content.decode())
    return re.sub("<code[^>]*>(dstack [^<]*)</code>", r"`\1`", shown)


def test_a_plan_and_the_offers_say_so(world: World, client: Client, cloudy: Project) -> None:
    asked = {"configuration": YAML}
    plan = client.post("/api/projects/cloudy/runs/plan", asked, "application/json")
    listed = client.get("/api/projects/cloudy/offers").json()["items"]

    assert f"Backend cloud cannot be used: {SAID}" in plan.content.decode()
    assert "(until" not in plan.content.decode()
    assert [offer["blocked"] for offer in listed] == [
        {"kind": "setup", "reason": SAID, "until": None}
    ]
    page = text(client, "/projects/cloudy/offers/")
    assert f"cloud cannot be used: {SAID}" in page and " until " not in page
    assert not Instance.objects.exists()


@pytest.mark.parametrize("is_there", [False, True])
def test_the_form_that_connects_a_cloud_says_so(
    client: Client, cloudy: Project, is_there: bool
) -> None:
    if is_there:
        factories.backend(cloudy, kind="aws", name="prod")
    path = "prod/config" if is_there else "connect"

    assert f"{SAID} Until then no machine is made." in text(
        client, f"/projects/cloudy/backends/{path}/"
    )


@pytest.mark.parametrize("url", ["https://dstack.example", "http://192.0.2.1:3000"])
def test_nothing_is_said_where_there_is_an_address(
    client: Client, cloudy: Project, settings: Any, url: str
) -> None:
    settings.DSTACK_AGENT_URL = url

    listed = client.get("/api/projects/cloudy/offers").json()["items"]
    assert [offer["blocked"] for offer in listed] == [None]
    assert "no machine is made" not in text(client, "/projects/cloudy/backends/connect/")


def test_this_machine_needs_none(client: Client, cloudy: Project, tmp_path: Any) -> None:
    Backend.objects.all().delete()
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    factories.backend(cloudy, kind="local", config=config)

    listed = client.get("/api/projects/cloudy/offers").json()["items"]
    assert listed and all(offer["blocked"] is None for offer in listed)


def test_the_form_that_connects_a_cloud_says_that_there_are_no_tunnels(
    client: Client, cloudy: Project, settings: Any
) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_GATEWAY_SSH_PORT = "https://dstack.example", 0

    shown = text(client, "/projects/cloudy/backends/connect/")

    said = "gateway takes no tunnels from machines: give its host openssh-server and set"
    assert said in shown and "DSTACK_GATEWAY_SSH_PORT, to 2222 for example. Until then" in shown
