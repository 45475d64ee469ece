"""What a gateway's page, the API and the command line say of one, and its upgrade."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.core.errors import Conflict, Forbidden
from apps.gateways.machines import showing, verbs, workload
from apps.gateways.models import Gateway, Publication
from apps.instances.models import Instance
from apps.telemetry.gateways import queries
from apps.telemetry.logs import services as logs
from apps.telemetry.models import Traffic
from apps.telemetry.traffic.ingest import bucket_of
from tests import factories
from tests.fakes.cloud import World
from tests.integration.gateways.on_machines import create, pass_time, publication, serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


def running(owner: Access, project: Project) -> Gateway:
    gateway = create(owner, project)
    pass_time(30)
    serve(gateway)
    return gateway


def ask(gateway: Gateway, project: Project, requests: int) -> None:
    run = factories.run(project, name=f"r{requests}", gateway=gateway)
    at = bucket_of(timezone.now(), 10) - timedelta(seconds=10)
    Traffic.objects.create(run_id=run.pk, seconds=10, at=at, by_class=[0, requests, 0, 0, 0])


def test_what_goes_on_is_said_step_by_step(world: World, owner: Access, cloudy: Project) -> None:
    gateway = create(owner, cloudy)
    assert showing.step_of(owner, publication(gateway)) == "choosing its machine"
    pass_time(30)
    gateway.refresh_from_db()
    instance = gateway.instance
    assert instance is not None
    Instance.objects.filter(pk=instance.pk).update(boot_step="installing haproxy")
    said = showing.step_of(owner, publication(gateway))
    assert said == f"machine {instance.state}: installing haproxy"
    serve(gateway)
    assert showing.step_of(owner, publication(gateway)) == ""


def test_it_is_upgraded_when_asked_by_who_may_and_tried_again(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = running(owner, cloudy)
    live = workload.live_of(gateway)
    assert live is not None and gateway.instance is not None
    live.spec = {**live.spec, "wheel_sha256": "0" * 64}
    live.save()
    assert not showing.gateway_json(owner, publication(gateway))["is_current"]
    revision = Instance.objects.get(pk=gateway.instance.pk).revision

    # Twice: the agent is told again, whatever came of the first time.
    for told in (1, 2):
        verbs.upgrade(access=owner, publication=publication(gateway))
        live.refresh_from_db()
        assert live.spec["wheel_sha256"] == workload.wanted_version()
        assert Instance.objects.get(pk=gateway.instance.pk).revision == revision + told
    Gateway.objects.update(version=workload.wanted_version())
    assert showing.gateway_json(owner, publication(gateway))["is_current"]

    stranger = factories.user("bob")
    with pytest.raises(Forbidden):
        verbs.upgrade(access=Access(user=stranger), publication=publication(gateway))


def test_one_that_does_not_serve_is_not_upgraded(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = create(owner, cloudy)
    with pytest.raises(Conflict, match="its next machine has this server's version"):
        verbs.upgrade(access=owner, publication=publication(gateway))


def test_its_traffic_is_that_of_all_its_services_and_of_a_shared_one_the_projects_own(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = running(owner, cloudy)
    other = factories.project("other")
    now = timezone.now()
    ask(gateway, cloudy, 60)
    ask(gateway, cloudy, 30)
    alone = queries.figures(owner, cloudy, gateway, at=now)
    Publication.objects.create(project=other, gateway=gateway)
    ask(gateway, other, 600)

    shared = queries.figures(owner, cloudy, gateway, at=now)

    assert alone.rps > 1 and shared.rps == pytest.approx(alone.rps)
    root = factories.user("root")
    root.is_superuser = True
    every = queries.figures(Access(user=root), cloudy, gateway, at=now)
    assert every.rps == pytest.approx(alone.rps * 690 / 90)


def test_its_log_is_what_its_program_wrote_last(
    world: World, owner: Access, cloudy: Project
) -> None:
    gateway = running(owner, cloudy)
    live = workload.live_of(gateway)
    assert live is not None and gateway.instance is not None
    lines = [wire.LogLine(seq, wire_time(), f"line {seq}") for seq in range(5)]
    batch = wire.LogBatch([wire.WorkloadLog(str(live.pk), lines)])
    logs.ingest(instance_id=gateway.instance.pk, batch=batch)

    assert [each.text for each in queries.log_tail(gateway, limit=2)] == ["line 3", "line 4"]


def wire_time() -> str:
    return timezone.now().isoformat()
