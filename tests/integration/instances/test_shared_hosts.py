"""Hosts that carry several replicas: whose they are, and what a silent one means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.models import Project
from apps.agent import wire
from apps.backends import base
from apps.backends import services as backends
from apps.backends.registry import PROVIDERS
from apps.core.ids import new_id
from apps.instances import decide, reconcile, services
from apps.instances.agents import assignments, reports
from apps.instances.models import Instance, Workload
from tests import factories
from tests.fakes.cloud import HARDWARE, Cloud, World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Iterator[World]:
    fresh = World()
    monkeypatch.setattr(Cloud, "world", fresh)
    monkeypatch.setitem(PROVIDERS, "cloud", Cloud)
    yield fresh


def placed(project: Project, kind: str, config: dict[str, Any]) -> Workload:
    """A workload on the shared host `box` of the project's backend of that kind."""
    return services.place(
        project=project,
        backend=backends.connect(project=project, kind=kind, config=config),
        offer=base.Offer(kind, "north", "box", HARDWARE, price_usd_per_hour=0.0, shared=True),
        new=services.NewWorkload(new_id(), "web-0", {}, {"env": {"KEY": project.name}}),
        at=timezone.now(),
    )


def test_hosts_of_one_name_in_two_projects_are_two(world: World) -> None:
    """Else the secrets of one project's workload would be sent to the agent of the other."""
    one, two = (factories.project(name) for name in ("mine", "theirs"))
    mine, again, theirs = (placed(each, "cloud", {}) for each in (one, one, two))

    assert mine.instance_id == again.instance_id != theirs.instance_id
    assert theirs.instance.project_id == two.pk
    sent = wire.to_json(assignments.assignment(instance=mine.instance))
    assert [workload["env"] for workload in sent["workloads"]] == [{"KEY": "mine"}] * 2


def test_the_servers_own_machine_is_one_for_all_its_projects(world: World, tmp_path: Any) -> None:
    config = {"boot_path": str(tmp_path / "config.json"), "url": "http://127.0.0.1:1"}
    first, second = (placed(factories.project(name), "local", config) for name in ("a", "b"))

    assert first.instance_id == second.instance_id


def lost(project: Project, **fields: Any) -> Instance:
    since = timezone.now() - decide.GIVEN_UP - timedelta(days=30)
    return factories.instance(
        project,
        state="lost",
        shared=True,
        ref="box",
        state_at=since,
        reported_at=since,
        boot_id="1",
        next_check_at=timezone.now(),
        **fields,
    )


def test_a_standing_host_is_waited_for_and_comes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, "features", frozenset({base.Feature.STANDING}))
    project = factories.project("main")
    backend = backends.connect(project=project, kind="cloud", config={})
    host = lost(project, backend=backend, backend_kind="cloud")
    world.machines["box"] = "box"
    kept, stopped = factories.workload(host), factories.workload(host, desired="stop")
    reconcile.advance(ids=[host.pk], at=timezone.now())

    for row in (host, kept, stopped):
        row.refresh_from_db()
    assert (host.state, kept.state) == ("lost", "running")
    assert (stopped.state, stopped.exit_reason) == ("exited", "host_stopped")
    said = wire.Report(boot_id="1", hostname="box", workloads=[])
    reports.take(instance=host, report=said, at=timezone.now())
    host.refresh_from_db()
    assert host.state == "ready"


@pytest.mark.parametrize(("is_standing", "state"), [(True, "ready"), (False, "lost")])
def test_a_goodbye_is_for_good_but_of_a_standing_host(
    world: World, monkeypatch: pytest.MonkeyPatch, is_standing: bool, state: str
) -> None:
    features = {base.Feature.STANDING} if is_standing else set()
    monkeypatch.setattr(Cloud, "features", frozenset(features))
    project = factories.project("main")
    backend = backends.connect(project=project, kind="cloud", config={})
    host = factories.instance(project, backend=backend, backend_kind="cloud", boot_id="1")
    said = wire.Report(boot_id="1", hostname="box", workloads=[], stopping=True)
    reports.take(instance=host, report=said, at=timezone.now())

    host.refresh_from_db()
    assert host.state == state


def test_a_shared_host_that_is_lost_gets_nothing_new(world: World) -> None:
    project = factories.project("main")
    there = placed(project, "cloud", {}).instance
    Instance.objects.filter(pk=there.pk).update(state="lost")

    with pytest.raises(services.NoRoom, match="does not report"):
        placed(project, "cloud", {})
