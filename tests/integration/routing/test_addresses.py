"""A gateway dials ports of tunnels, and an agent's word only on its own host."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.agent import wire
from apps.gateways.models import Gateway
from apps.instances.agents import reports
from apps.instances.models import Instance, Tunnel, Workload
from apps.instances.tunnels import claims as tunnels
from apps.routing import services
from apps.routing import tunnels as routing_tunnels
from tests import factories

pytestmark = pytest.mark.django_db
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43

# What an agent may say to have the gateway dial something that is not its replica.
FORGED = [
    "127.0.0.1:3000",
    "127.0.0.1:32768",
    "169.254.169.254:80",
    "10.0.0.1:5432",
    "[::1]:3000",
    "localhost:3000",
    "0.0.0.0:22",
    "127.0.0.1:30001",
    "127.0.0.1:1\nserver x 10.0.0.1:80",
    "127.0.0.1:80\x00",
    "127.0.0.1:80\n",
    "$(id):80",
    "../../run/haproxy.sock",
    "unix@haproxy.sock",
    "１２７.0.0.1:80",
    "a" * 300,
    "127.0.0.1:999999",
]


@pytest.fixture
def project() -> Any:
    return factories.project("main", admin=factories.user("alice"))


def served(project: Any, gateway: Gateway, *, kind: str, said: str, tunnel: bool) -> list[str]:
    """The addresses that the table has for a replica whose agent says `said`."""
    run = factories.run(project, gateway=gateway)
    instance = factories.instance(project, backend_kind=kind)
    replica = factories.replica(run, address=said, instance=instance)
    workload = factories.workload(instance, replica=replica, address=said)
    if tunnel:
        tunnels.claim(gateway_id=gateway.pk, workload=workload, at=timezone.now())
    return table_addresses(gateway)


def table_addresses(gateway: Gateway) -> list[str]:
    services.publish_all(gateway_ids=[gateway.pk])
    table = services.table(gateway=gateway, since=0)
    return [each.address for endpoint in table.endpoints for each in endpoint.replicas]


@pytest.mark.parametrize("said", FORGED)
@pytest.mark.parametrize(("kind", "at"), [("aws", "local"), ("local", "aws"), ("aws", "aws")])
def test_what_a_foreign_agent_says_is_never_dialled(
    project: Any, said: str, kind: str, at: str
) -> None:
    gateway = factories.gateway(project, backend=at)
    said = said.replace("\x00", "")

    assert served(project, gateway, kind=kind, said=said, tunnel=False) == []


@pytest.mark.parametrize("said", [*FORGED, ""])
def test_a_tunnel_is_dialled_whatever_the_agent_says(project: Any, said: str) -> None:
    gateway = factories.gateway(project, backend="local")

    found = served(project, gateway, kind="aws", said=said.replace("\x00", ""), tunnel=True)

    assert found == [f"127.0.0.1:{Tunnel.objects.get().port}"]


def test_the_agent_beside_the_gateway_is_believed(project: Any) -> None:
    gateway = factories.gateway(project, backend="local")

    found = served(project, gateway, kind="local", said="10.240.0.2:8000", tunnel=False)

    assert found == ["10.240.0.2:8000"]


# What the agent of one project's machine may say of another's.
CLAIMS: list[dict[str, Any]] = [
    {"state": wire.RUNNING, "ready": True, "address": "127.0.0.1:3000"},
    {"state": wire.RUNNING, "ready": True, "address": "169.254.169.254:80"},
    {"state": wire.RUNNING, "ready": False, "address": ""},
    {"state": wire.EXITED, "exit_code": 1, "reason": "stopped"},
    {"state": wire.PULLING, "phase": "waiting", "probe_message": "no"},
]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("kind", ["local", "aws"])
def test_an_agent_speaks_for_the_replicas_of_its_own_machine_alone(
    project: Any, claim: dict[str, Any], kind: str
) -> None:
    gateway = factories.gateway(project, backend="local")
    before = served(project, gateway, kind=kind, said="127.0.0.1:8000", tunnel=kind == "aws")
    workload = Workload.objects.get()
    mine = factories.workload(factories.instance(factories.project("other"), backend_kind="aws"))
    Instance.objects.filter(pk=workload.instance_id).update(public_key=KEY)

    for named in (workload.pk, workload.instance_id, f"{workload.pk}\n", str(workload.pk).upper()):
        told = wire.WorkloadReport(id=str(named), **claim)
        report = wire.Report(boot_id="b", workloads=[told], ssh_public_key=KEY)
        reports.take(instance=mine.instance, report=report, at=timezone.now())

    assert table_addresses(gateway) == before != []
    now = Workload.objects.get(pk=workload.pk)
    assert (now.state, now.address, now.ready) == (workload.state, "127.0.0.1:8000", workload.ready)
    assert not Tunnel.objects.exclude(freed_at=None).exists()
    assert Instance.objects.get(pk=mine.instance_id).public_key == ""


def test_what_it_says_of_its_own_leads_to_its_own_port_alone(project: Any) -> None:
    gateway = factories.gateway(project, backend="local")
    (others,) = served(project, gateway, kind="aws", said="", tunnel=True)
    other = Workload.objects.get()
    found = served(project, gateway, kind="aws", said="", tunnel=True)
    mine = Workload.objects.exclude(pk=other.pk).get()

    told = wire.WorkloadReport(id=str(mine.pk), state=wire.RUNNING, ready=True, address=others)
    report = wire.Report(boot_id="b", workloads=[told])
    reports.take(instance=mine.instance, report=report, at=timezone.now())

    assert sorted(table_addresses(gateway)) == sorted(found)
    ports = {each.instance_id: [each.port] for each in Tunnel.objects.all()}
    keys = {UUID(pk): row["ports"] for pk, row in routing_tunnels.wanted(gateway.pk).items()}
    assert keys == ports and len(keys) == 2


@pytest.mark.parametrize("said", ["localhost:3000", "127.0.0.1:80\n", "no address", ""])
def test_what_is_no_address_stops_no_table(project: Any, said: str) -> None:
    gateway = factories.gateway(project, backend="local")

    assert served(project, gateway, kind="local", said=said, tunnel=False) == []


def test_a_freed_tunnel_is_not_dialled(project: Any) -> None:
    gateway = factories.gateway(project, backend="local")
    served(project, gateway, kind="aws", said="", tunnel=True)
    tunnels.free([Tunnel.objects.get().workload_id], at=timezone.now())

    assert table_addresses(gateway) == []


def test_a_tunnel_of_another_gateway_is_not_dialled(project: Any) -> None:
    gateway = factories.gateway(project, backend="local")
    other = factories.gateway(backend="aws")
    served(project, gateway, kind="aws", said="", tunnel=True)
    Tunnel.objects.update(gateway=other)

    assert table_addresses(gateway) == []
