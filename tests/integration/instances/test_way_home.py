"""Machines that call a server which nobody can call, through a gateway: which, by which key."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
import yaml
from django.test import Client

from apps.backends import way_home
from apps.backends.base import Offer
from apps.core import crypto, ids
from apps.gateways.models import Gateway, Publication
from apps.instances.boot import home, keys, machine_spec, relay
from apps.instances.models import Instance
from apps.instances.tunnels import claims
from apps.routing import tunnels
from tests import factories
from tests.fakes.cloud import HARDWARE
from tests.integration.instances.test_enrolment import KEY, body, booting

pytestmark = pytest.mark.django_db(transaction=True)
OFFER = Offer(
    backend="cloud", region="north", instance="m1", hardware=HARDWARE, price_usd_per_hour=0.1
)


@pytest.fixture(autouse=True)
def on_loopback(settings: Any, redis_url: str) -> None:
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "http://127.0.0.1:3000"


def far(name: str, **fields: Any) -> Gateway:
    """A gateway of some project, in a cloud of the server's unless `connection` says another."""
    project = factories.project()
    if "connection" not in fields:
        fields["connection"] = factories.backend(None, kind="cloud", name=f"of-{name}")
    said = {
        "address": "192.0.2.9",
        "backend": "aws",
        "instance": factories.instance(project),
        "tunnel_port": 2222,
        "tunnel_user": "dstack-tunnel",
        "tunnel_host_key": keys.of_secret(name, purpose="test").public,
        **fields,
    }
    return factories.gateway(project, name=name, **said)


def machine(**fields: Any) -> Instance:
    return booting(offer=asdict(OFFER), **fields)


def files_of(instance: Instance) -> dict[str, str]:
    document = yaml.safe_load(machine_spec.wanted(instance).user_data)
    return {each["path"]: each["content"] for each in document["write_files"]}


def test_a_machine_boots_with_the_way_and_a_key_that_opens_it_until_it_has_its_own() -> None:
    gateway, instance = far("edge"), machine()

    files = files_of(instance)

    boots_with = keys.read(files["/etc/dstack-agent/way-home.key"]).public
    row = {"public_key": boots_with, "ports": [], "calls_server": True}
    assert tunnels.wanted(gateway.pk) == {str(instance.pk): row}
    assert files == files_of(Instance.objects.get(pk=instance.pk))

    answer = Client().post("/api/agent/enrol", body(instance), "application/json")
    assert answer.status_code == 200
    assert tunnels.wanted(gateway.pk) == {str(instance.pk): {**row, "public_key": KEY}}

    Instance.objects.filter(pk=instance.pk).update(state="terminated")
    assert tunnels.wanted(gateway.pk) == {}


def test_it_takes_the_gateway_of_its_service_and_keeps_it() -> None:
    far("other")
    mine, instance = far("mine"), machine()
    workload = factories.workload(instance)
    claims.claim(gateway_id=mine.pk, workload=workload, at=instance.state_at)

    assert home.of(instance) == mine

    mine.tunnels.all().delete()
    assert home.of(Instance.objects.get(pk=instance.pk)) == mine


def test_it_takes_no_gateway_of_a_project_that_its_own_has_nothing_to_do_with() -> None:
    instance = machine()
    theirs = factories.backend(factories.project(), kind="cloud")
    far("strangers", connection=theirs)
    far("unknown", connection=None)

    assert home.of(instance) is None
    assert home.any_usable(instance.project_id) is None
    assert "dstack gateway create" in way_home.why_none(instance.project_id)

    coming = factories.gateway(instance.project, name="coming", connection=theirs, tunnel_port=None)
    for state in ("creating", "provisioning"):
        Gateway.objects.filter(pk=coming.pk).update(state=state)
        assert "through gateway coming, which is being made" in way_home.why_none(
            instance.project_id
        )
    Gateway.objects.filter(pk=coming.pk).update(state="failed")
    assert "dstack gateway create" in way_home.why_none(instance.project_id)

    shared = far("shared", connection=theirs)
    Publication.objects.create(project=instance.project, gateway=shared)
    assert way_home.why_none(instance.project_id) == ""
    assert home.of(instance) == home.any_usable(instance.project_id) == shared


@pytest.mark.parametrize("fields", [{"instance": None}, {"tunnel_port": None}])
def test_a_gateway_that_could_not_be_the_way_is_none(fields: dict[str, Any]) -> None:
    far("edge", **fields)

    with pytest.raises(way_home.NoWayHome, match="dstack gateway create"):
        machine_spec.wanted(machine())


def test_where_machines_call_the_server_themselves_nothing_of_it_is_there(settings: Any) -> None:
    settings.DSTACK_AGENT_URL = "https://dstack.example"
    gateway, instance = far("edge"), machine()

    assert not [path for path in files_of(instance) if "way-home" in path]
    assert tunnels.wanted(gateway.pk) == {}


@pytest.mark.parametrize(
    ("agents", "people", "known_by"),
    [
        ("https://dstack.example", "http://127.0.0.1:3000", "ours"),
        ("http://127.0.0.1:3000", "https://dstack.example", "ours"),
        ("http://dstack.example", "https://dstack.example", None),
    ],
)
def test_a_machine_boots_with_the_authority_of_the_address_that_it_calls(
    settings: Any, agents: str, people: str, known_by: str | None
) -> None:
    settings.DSTACK_AGENT_URL, settings.DSTACK_PUBLIC_URL = agents, people
    settings.DSTACK_AGENT_CA = "ours"

    told = json.loads(files_of(machine())["/etc/dstack-agent/enrolment.json"])

    assert told.get("authority") == known_by


def test_a_gateway_has_its_keys_whichever_machine_it_has_and_they_lie_encrypted() -> None:
    gateway, other = far("edge"), far("other")

    first = relay.keys_of(gateway.pk)

    assert relay.keys_of(gateway.pk) == first
    assert len({*first, *relay.keys_of(other.pk)}) == 4
    gateway.refresh_from_db()
    assert "PRIVATE" not in gateway.relay_keys
    assert crypto.decrypt(gateway.relay_keys)["host"] == first.host.private


def test_the_key_of_another_enrolment_is_another_one() -> None:
    one, two = (machine(token=crypto.encrypt(ids.new_token("e"))) for _ in range(2))

    assert home.boot_key(one) == home.boot_key(one) != home.boot_key(two)
