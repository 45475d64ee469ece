"""A gateway on a host of the project's, which runs services too."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.providers.ssh.provider import Host, offers_of
from apps.core.errors import Conflict, Invalid
from apps.gateways import queries
from apps.gateways.machines import closing, offers, showing, verbs
from apps.gateways.machines.forms import GatewayForm
from apps.gateways.models import Gateway
from apps.hosts.work import machines
from apps.instances import services
from apps.instances.boot import credentials, home
from apps.instances.models import Instance, Workload
from tests.fakes.cloud import World
from tests.integration.gateways.on_machines import pass_time, publication, serve
from tests.people import signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]

ADDRESS = "198.51.100.7"


def desk(address: str = ADDRESS, name: str = "desk") -> Host:
    return Host(name=name, ref=f"host-{name}", address=address, cpus=1, memory_mib=900,
                disk_mib=9000)  # fmt: skip


def stand(project: Project, *hosts: Host) -> list[Instance]:
    """Have hosts whose agents have reported, as `apps.hosts` has them."""
    config = {"hosts": [each.model_dump(mode="json") for each in hosts]}
    backend = backends.connect(project=project, kind="ssh", config=config)
    return [_instance(project, backend, each) for each in hosts]


def _instance(project: Project, backend: Any, host: Host) -> Instance:
    now = timezone.now()
    return Instance.objects.create(
        project=project,
        backend=backend,
        state="ready",
        state_at=now,
        reported_at=now,
        boot_id="1",
        backend_kind="ssh",
        name=host.name,
        ref=host.ref,
        region="ssh",
        instance_type=host.name,
        offer=dataclasses.asdict(offers_of(host)[0]),
        shared=True,
        idle_seconds=None,
        **credentials.of_enrolment(),
    )


def create(owner: Access, project: Project, **more: Any) -> Gateway:
    wanted = verbs.Wanted(**{"domain": "example.com", "host": "desk", **more})
    return verbs.create(access=owner, project=project, wanted=wanted, at=timezone.now())


def test_it_is_made_beside_what_runs_there_and_ends_alone(
    world: World, owner: Access, cloudy: Project
) -> None:
    (instance,) = stand(cloudy, desk())
    service = services.NewWorkload(
        run_id=instance.pk, name="who-0", spec={"run_name": "who"}, secrets={}
    )
    chosen = offers.on_host(project=cloudy, host="desk")
    at = timezone.now()
    services.place(project=cloudy, backend=chosen.backend, offer=chosen.offer, new=service, at=at)
    gateway = create(owner, cloudy)
    pass_time(30)
    agent = serve(gateway)

    assert (gateway.name, gateway.state, gateway.address) == ("desk", "running", ADDRESS)
    assert gateway.instance == instance and world.machines == {}
    record = showing.record_of(gateway)
    assert record is not None and record.text == f"*.example.com A {ADDRESS}"
    assert showing.gateway_json(owner, publication(gateway))["host"] == "desk"

    with pytest.raises(Conflict, match="Gateway desk stands on host desk: delete it first"):
        closing.refuse_while_on(instance)
    verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(10)
    instance.refresh_from_db()
    ended_at = instance.revision
    agent.sync()
    pass_time(30)

    assert not Gateway.objects.exists()
    assert list(Workload.objects.exclude(state="exited").values_list("name", flat=True)) == [
        "who-0"
    ]
    instance.refresh_from_db()
    # Its agent hears at once that it has to leave nothing.
    assert (instance.state, instance.revision > ended_at) == ("ready", True)
    closing.refuse_while_on(instance)


def test_a_host_that_never_comes_back_keeps_no_gateway(
    world: World, owner: Access, cloudy: Project
) -> None:
    (instance,) = stand(cloudy, desk())
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)

    verbs.delete(access=owner, publication=publication(gateway), at=timezone.now())
    pass_time(600)
    Instance.objects.update(state="lost")
    assert Gateway.objects.get().state == "deleting"
    told = showing.gateway_json(owner, publication(gateway))["error"]
    assert "its host desk once that is back, which has said nothing since 20" in told
    assert "remove the host with `dstack host remove desk`" in told
    page = signed_in(owner.user).get("/projects/cloudy/gateways/desk/").content.decode()
    assert "<code>dstack host remove desk</code>" in page
    closing.refuse_while_on(instance)
    instance.refresh_from_db()
    machines.end(instance, "its host is removed", at=timezone.now())
    pass_time(10)

    assert not Gateway.objects.exists()


def test_after_a_restart_of_the_host_it_is_there_again_and_a_second_has_no_room(
    world: World, owner: Access, cloudy: Project
) -> None:
    (instance,) = stand(cloudy, desk())
    gateway = create(owner, cloudy, name="edge")
    pass_time(30)
    agent = serve(gateway)
    with pytest.raises(Conflict, match="Host desk has gateway edge already"):
        create(owner, cloudy, name="other")

    agent.exit_all(reason="host_stopped")
    pass_time(60)
    gateway.refresh_from_db()
    assert gateway.state == "provisioning"
    serve(gateway)

    assert (gateway.state, gateway.address, gateway.instance) == ("running", ADDRESS, instance)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"host": "attic"}, "has no host 'attic' that is ready: it has desk"),
        ({"region": "north"}, "Give a host, or a backend and a region"),
        ({"backend": "cloud"}, "Give a host, or a backend and a region"),
        ({"host": "$(reboot)"}, "has no host"),
        ({"host": "", "backend": "ssh", "region": "desk"}, "no backend 'ssh'"),
    ],
)
def test_what_names_no_one_place_is_refused(
    world: World, owner: Access, cloudy: Project, more: dict[str, str], said: str
) -> None:
    stand(cloudy, desk())
    with pytest.raises(Invalid) as error:
        create(owner, cloudy, **more)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("2001:db8::7", "*.example.com AAAA 2001:db8::7"),
        ("desk.example.net", "*.example.com CNAME desk.example.net"),
    ],
)
def test_the_record_is_of_the_kind_of_the_hosts_address(
    world: World, owner: Access, cloudy: Project, address: str, text: str
) -> None:
    stand(cloudy, desk(address))
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    record = showing.record_of(gateway)
    assert record is not None and record.text == text


def test_hosts_are_offered_by_the_form_and_the_hint_and_lead_nobody_to_the_server(
    world: World, owner: Access, cloudy: Project
) -> None:
    (instance, _) = stand(cloudy, desk(), desk("198.51.100.8", "attic"))
    form = GatewayForm(cloudy, {"domain": "example.com", "place": "host:desk"})
    assert form.is_valid() and form.wanted()["host"] == "desk"
    gateway = create(owner, cloudy)
    pass_time(30)
    serve(gateway)
    assert not queries.on_machines().exists()
    assert home.of(instance) is None

    assert "dstack gateway create --domain example.com" in queries.how_to_have_one(cloudy)
