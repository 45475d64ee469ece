"""Replicas that their gateway reaches through a tunnel only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.core import notifications
from apps.core.errors import Invalid
from apps.gateways.models import Gateway
from apps.instances.agents import assignments, reports
from apps.instances.models import Instance, Tunnel
from apps.instances.tunnels import ports
from apps.routing import services as routing
from apps.routing import tunnels as routing_tunnels
from apps.runs.control import replica_lifecycle
from apps.runs.models import Run
from apps.runs.scale import scaling
from gateway import schema
from tests import factories
from tests.fakes.agent import FakeAgent
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


UNREACHED = [
    ({"tunnel_port": None, "reported_at": timezone.now()}, "set DSTACK_GATEWAY_SSH_PORT"),
    ({"tunnel_port": None}, "has not reported yet"),
    ({"address": "127.0.0.1"}, "set DSTACK_AGENT_URL"),
]


@pytest.mark.parametrize(("fields", "words"), UNREACHED)
def test_no_machine_is_planned_that_the_gateway_would_not_reach(
    owner: Access, cloudy: Project, fields: dict[str, Any], words: str
) -> None:
    factories.gateway(cloudy, name="far", **fields)

    with pytest.raises(Invalid, match=f"No offer fits. cloud: .*{words}"):
        submit(owner, cloudy)

    assert not Instance.objects.exists()


@pytest.mark.parametrize(("fields", "words"), UNREACHED)
def test_no_machine_is_made_that_the_gateway_would_not_reach(
    far: Gateway, owner: Access, cloudy: Project, fields: dict[str, Any], words: str
) -> None:
    run = submit(owner, cloudy)
    agent = ready(run)
    Gateway.objects.filter(pk=far.pk).update(**fields)
    scaling.scale(access=owner, run=run, replicas="2")

    second = run.replicas.get(state="failed")
    assert words in second.message
    assert Instance.objects.get() == agent.instance


def status_of(far: Gateway, *, pending: dict[str, str] | None = None) -> schema.Status:
    """The gateway's next report: it has applied its table, but for what is pending."""
    far.refresh_from_db()
    return schema.Status(boot_id="g", applied=far.revision, pending=pending or {})


def say(far: Gateway, status: schema.Status) -> None:
    at = timezone.now()
    routing.take_status(gateway=far, status=status, at=at)
    if news := routing_tunnels.take_reached(gateway=far, status=status, at=at):
        notifications.transitioned("replica", "reached", news)
    if news := routing_tunnels.take_cut(gateway=far, status=status, at=at):
        notifications.transitioned("replica", "cut", news)


def ready(run: Run) -> FakeAgent:
    agent = FakeAgent(Instance.objects.get(replicas__run=run))
    agent.sync()
    agent.serve()
    return agent


def test_a_replica_runs_when_its_gateway_reaches_it(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    ready(run)

    replica = run.replicas.get()
    assert (replica.state, replica.phase) == ("starting", "waiting for the tunnel")
    table = routing.table(gateway=Gateway.objects.get(pk=far.pk), since=0)
    (upstream,) = table.endpoints[0].replicas
    assert upstream.address == f"127.0.0.1:{Tunnel.objects.get().port}"

    say(far, status_of(far, pending={str(replica.pk): "the tunnel is not open yet"}))
    replica.refresh_from_db()
    assert replica.state == "starting"

    say(far, schema.Status(boot_id="g", applied=0))
    replica.refresh_from_db()
    assert replica.state == "starting"

    say(far, status_of(far))
    replica.refresh_from_db()
    assert (replica.state, replica.phase != "waiting for the tunnel") == ("running", True)

    # What it once reached goes on while a tunnel is away for a while.
    say(far, status_of(far, pending={str(replica.pk): "the tunnel is not open yet"}))
    replica_lifecycle.advance(ids=[replica.pk], at=timezone.now())
    replica.refresh_from_db()
    assert replica.state == "running"


def test_a_replica_whose_tunnel_stays_cut_is_replaced(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = ready(run)
    say(far, status_of(far))
    replica, port = run.replicas.get(), Tunnel.objects.get().port
    cut = status_of(far).model_copy(update={"tunnels": SERVER, "cut": [port]})
    back = cut.model_copy(update={"cut": []})

    def looked_at(state: str, *, after: int) -> None:
        """Its agent reports, and says that all is well."""
        agent.serve()
        since = Tunnel.objects.get().cut_at
        at = (since or timezone.now()) + timedelta(seconds=after)
        # So does its gateway.
        Gateway.objects.filter(pk=far.pk).update(reported_at=at)
        replica_lifecycle.advance(ids=[replica.pk], at=at)
        replica.refresh_from_db()
        assert replica.state == state

    say(far, cut)
    looked_at("running", after=5)
    # A gateway of before does not say it, nor does one that starts.
    say(far, status_of(far))
    assert Tunnel.objects.get().cut_at is not None
    looked_at("unhealthy", after=31)
    assert not routing.table(gateway=far, since=0).endpoints[0].replicas
    assert replica.pk not in replica_lifecycle.out_of_sync()
    say(far, back)
    replica.refresh_from_db()
    assert (replica.state, replica.phase) == ("running", "")

    say(far, cut)
    looked_at("unhealthy", after=31)
    looked_at("failed", after=152)
    assert replica.message == (
        "unhealthy for 2 minutes: its gateway reaches it no more: its tunnel is cut"
    )
    assert run.replicas.exclude(pk=replica.pk).exists()


def test_nothing_is_replaced_for_what_a_silent_gateway_said_last(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = ready(run)
    say(far, status_of(far))
    replica, tunnel, began = run.replicas.get(), Tunnel.objects.get(), timezone.now()
    cut = status_of(far).model_copy(update={"tunnels": SERVER, "cut": [tunnel.port]})
    say(far, cut)

    def looked_at(*, after: int) -> str:
        agent.serve()
        replica_lifecycle.advance(ids=[replica.pk], at=began + timedelta(seconds=after))
        replica.refresh_from_db()
        return str(replica.state)

    # The gateway or this server is away for an hour.
    assert looked_at(after=40) == "running"
    Gateway.objects.filter(pk=far.pk).update(reported_at=began + timedelta(seconds=40))
    assert looked_at(after=45) == "unhealthy"
    assert looked_at(after=3600) == "unhealthy"

    # It counts from its return, also as long as it takes no tunnels.
    far.refresh_from_db()
    for after, status in ((3600, cut), (3604, cut.model_copy(update={"tunnels": None}))):
        at = began + timedelta(seconds=after)
        assert routing_tunnels.take_cut(gateway=far, status=status, at=at) == []
        tunnel.refresh_from_db()
        assert tunnel.cut_at == at
        Gateway.objects.filter(pk=far.pk).update(reported_at=at)
        far.refresh_from_db()
    assert looked_at(after=3620) == "unhealthy"
    Gateway.objects.filter(pk=far.pk).update(reported_at=began + timedelta(seconds=3720))
    assert looked_at(after=3723) == "unhealthy"
    assert looked_at(after=3725) == "failed"


def test_nothing_is_replaced_where_a_gateway_reaches_none_of_several_machines(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agents = [ready(run)]
    scaling.scale(access=owner, run=run, replicas="2")
    for machine in Instance.objects.exclude(pk=agents[0].instance.pk):
        agents.append(FakeAgent(machine))
        agents[-1].sync()
        agents[-1].serve()
    say(far, status_of(far))
    began, ports = timezone.now(), list(Tunnel.objects.values_list("port", flat=True))
    assert len(ports) == len(agents) == 2
    all_cut = status_of(far).model_copy(update={"tunnels": SERVER, "cut": ports})
    say(far, all_cut)

    def looked_at(*, after: int) -> set[str]:
        at = began + timedelta(seconds=after)
        for agent in agents:
            agent.serve()
        Gateway.objects.filter(pk=far.pk).update(reported_at=at)
        replica_lifecycle.advance(ids=list(run.replicas.values_list("pk", flat=True)), at=at)
        return set(run.replicas.values_list("state", flat=True))

    assert looked_at(after=32) == {"unhealthy"}
    assert looked_at(after=3600) == {"unhealthy"}

    # It reaches one of them: then it is the other whose machine is replaced.
    say(far, all_cut.model_copy(update={"cut": ports[:1]}))
    assert looked_at(after=3601) >= {"running", "failed"}


def test_who_was_not_reached_yet_is_not_cut_off(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    ready(submit(owner, cloudy))
    ports_of = list(Tunnel.objects.values_list("port", flat=True))

    routing_tunnels.take_cut(
        gateway=far,
        status=schema.Status(boot_id="g", applied=0, tunnels=SERVER, cut=ports_of),
        at=timezone.now(),
    )

    assert Tunnel.objects.get().cut_at is None


def test_another_gateway_reaches_nothing_of_it(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    ready(run)
    other = factories.gateway(factories.project())

    say(other, schema.Status(boot_id="g", applied=10**6))

    assert run.replicas.get().state == "starting"


def test_a_tunnel_that_never_opens_ends_at_the_deadline(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    ready(run)
    replica = run.replicas.get()

    assert replica.deadline_at is not None
    replica_lifecycle.advance(ids=[replica.pk], at=replica.deadline_at)

    replica.refresh_from_db()
    assert replica.state == "failed"
    assert replica.message == "not ready within its deadline: waiting for the tunnel"


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
SERVER = schema.TunnelServer(port=2222, user="dstack-tunnel", host_key=KEY)


def test_an_agent_hears_where_to_open_what(far: Gateway, owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    instance = Instance.objects.get(replicas__run=run)
    Gateway.objects.update(tunnel_port=None)
    assert assignments.assignment(instance=instance).tunnels == []
    Gateway.objects.update(address="203.0.113.7")
    before = instance.revision

    for _ in range(2):
        routing.take_status(
            gateway=far,
            status=schema.Status(boot_id="g", applied=0, tunnels=SERVER),
            at=timezone.now(),
        )

    said = assignments.assignment(instance=instance)
    forward = wire.Forward(Tunnel.objects.get().port, str(Tunnel.objects.get().workload_id))
    assert said.tunnels == [
        wire.Tunnels("203.0.113.7", 2222, "dstack-tunnel", KEY, forwards=[forward])
    ]
    assert said.revision == before + 1


BAD_KEYS = ["ssh-rsa AAAA", KEY + "\nssh-ed25519 AAAA", 'command="sh" ' + KEY, "x" * 9000, "\x00"]


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_an_agents_key_opens_its_ports(
    far: Gateway, owner: Access, cloudy: Project, bad: str
) -> None:
    run = submit(owner, cloudy)
    instance = Instance.objects.get(replicas__run=run)

    for said in (KEY, bad):
        report = wire.Report(boot_id="b", ssh_public_key=said)
        reports.take(instance=instance, report=report, at=timezone.now())

    (row,) = routing.table(gateway=Gateway.objects.get(pk=far.pk), since=0).tunnels
    assert (row.public_key, row.ports) == (KEY, [Tunnel.objects.get().port])


def test_nobody_comes_in_with_the_key_of_another_machine(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    first = factories.instance(cloudy, public_key=KEY)
    run = submit(owner, cloudy)
    thief = Instance.objects.get(replicas__run=run)

    report = wire.Report(boot_id="b", ssh_public_key=KEY)
    reports.take(instance=thief, report=report, at=timezone.now())

    thief.refresh_from_db()
    assert (first.public_key, thief.public_key) == (KEY, "")


def test_the_key_of_a_machine_without_replicas_opens_nothing(
    far: Gateway, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = ready(run)
    agent.exit_all(code=0)

    assert routing.table(gateway=Gateway.objects.get(pk=far.pk), since=0).tunnels == []
