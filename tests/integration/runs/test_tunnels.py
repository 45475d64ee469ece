"""Replicas that their gateway reaches through a tunnel only."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.gateways.models import Gateway
from apps.instances import ports
from apps.instances.models import Tunnel
from tests import factories
from tests.integration.runs.clouds import YAML, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
TWO = YAML.replace("name: hello\n", "name: two\nreplicas: 2\n")


@pytest.fixture
def far(cloudy: Project) -> Gateway:
    return factories.gateway(cloudy, name="far")


def test_a_replica_elsewhere_gets_a_tunnel_with_its_place(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy, TWO)

    found = list(Tunnel.objects.order_by("port"))
    assert {each.workload_id for each in found} == {r.workload_id for r in run.replicas.all()}
    assert {each.instance_id for each in found} == {r.instance_id for r in run.replicas.all()}
    assert {each.gateway for each in found} == {far}
    assert all(ports.PREFERRED <= each.port <= ports.LAST for each in found)
    assert len({each.port for each in found}) == 2


def test_without_a_gateway_there_is_none(owner: Access, cloudy: Project) -> None:
    submit(owner, cloudy)

    assert not Tunnel.objects.exists()


def test_beside_the_gateway_there_is_none(gateway: Gateway, alice: Access, project: Any) -> None:
    submit(alice, project, "type: service\nname: near\ncommands: [sleep 9]\nport: 8000\n")

    assert not Tunnel.objects.exists()


def test_this_machine_has_one_to_a_gateway_elsewhere(alice: Access, project: Any) -> None:
    factories.gateway(project, name="far", backend="aws")
    submit(alice, project, "type: service\nname: near\ncommands: [sleep 9]\nport: 8000\n")

    assert Tunnel.objects.get().gateway.name == "far"


def test_a_gateway_without_ports_leaves_the_replica_without_a_place(
    far: Gateway, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "choose", lambda taken, *, start: None)
    run = submit(owner, cloudy)

    replica = run.replicas.get()
    assert (replica.state, replica.exit_reason) == ("failed", "no-capacity")
    assert "ports for tunnels of its gateway are taken" in replica.message
    assert not Tunnel.objects.exists()
