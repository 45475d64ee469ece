"""Ports of gateways: one each, claimed with the place, freed with the end."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.agent import wire
from apps.instances import services, states
from apps.instances.agents import reports
from apps.instances.models import Tunnel, Workload
from apps.instances.tunnels import claims as tunnels
from apps.instances.tunnels import ports
from tests import factories

CROWD = 16


@pytest.fixture
def project(db: None) -> Any:
    return factories.project("main")


@pytest.fixture
def gateway(project: Any) -> Any:
    return factories.gateway(project, backend="aws")


def claimed(gateway: Any, workload: Workload) -> Tunnel:
    return tunnels.claim(gateway_id=gateway.pk, workload=workload, at=timezone.now())


def test_two_gateways_have_the_same_ports(project: Any, gateway: Any) -> None:
    other = factories.gateway(project.__class__.objects.create(name="other"))
    instance = factories.instance(project)
    taken = claimed(gateway, factories.workload(instance))

    Tunnel.objects.create(
        gateway=other, port=taken.port, workload=factories.workload(instance), instance=instance
    )

    assert Tunnel.objects.filter(port=taken.port).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_crowd_gets_a_port_each(
    project: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = factories.instance(project)
    workloads = [factories.workload(instance) for _ in range(CROWD)]
    # All begin to look at the same port, at the same moment.
    monkeypatch.setattr(random, "randrange", lambda _: 0)
    ready, failures = threading.Barrier(CROWD), []

    def take(workload: Workload) -> None:
        try:
            ready.wait(20)
            claimed(gateway, workload)
        except Exception as error:
            failures.append(error)
        finally:
            connection.close()

    crowd = [threading.Thread(target=take, args=(each,)) for each in workloads]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()

    assert failures == []
    found = sorted(Tunnel.objects.values_list("port", flat=True))
    assert found == list(range(ports.PREFERRED, ports.PREFERRED + CROWD))


def test_says_that_no_port_is_left(
    project: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "FIRST", 30000)
    monkeypatch.setattr(ports, "LAST", 30000)
    instance = factories.instance(project)
    claimed(gateway, factories.workload(instance))

    with pytest.raises(tunnels.NoPort, match="all 1 ports for tunnels"):
        claimed(gateway, factories.workload(instance))


def end_by_report(workload: Workload) -> None:
    said = wire.WorkloadReport(id=str(workload.pk), state=wire.EXITED, exit_code=0)
    report = wire.Report(boot_id="b", workloads=[said])
    reports.take(instance=workload.instance, report=report, at=timezone.now())


def end_by_us(workload: Workload) -> None:
    services.end_workloads([workload], reason="stopped", message="", at=timezone.now())


@pytest.mark.parametrize("end", [end_by_report, end_by_us])
def test_an_end_frees_the_port_which_rests_before_another_has_it(
    project: Any, gateway: Any, end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "randrange", lambda _: 0)
    instance = factories.instance(project)
    workload = factories.workload(instance)
    first = claimed(gateway, workload)
    end(workload)

    first.refresh_from_db()
    assert first.freed_at is not None
    assert claimed(gateway, factories.workload(instance)).port == first.port + 1

    Tunnel.objects.filter(pk=first.pk).update(freed_at=timezone.now() - timedelta(seconds=61))
    assert claimed(gateway, factories.workload(instance)).port == first.port


def test_a_workload_that_lives_keeps_its_port(project: Any, gateway: Any) -> None:
    workload = factories.workload(factories.instance(project))
    claimed(gateway, workload)
    said = wire.WorkloadReport(id=str(workload.pk), state=wire.RUNNING, ready=True)
    report = wire.Report(boot_id="b", workloads=[said])

    reports.take(instance=workload.instance, report=report, at=timezone.now())

    assert tunnels.live([workload.pk]).exists()
    assert Workload.objects.get().state == states.RUNNING
