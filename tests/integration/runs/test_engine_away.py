"""A machine whose container engine goes away and comes back, from the server's side."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.backends.providers.local.provider import LocalProvider
from apps.instances.models import Instance
from apps.runs import queries, services, states
from apps.runs.control import reconcile, replica_lifecycle
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from tests.fakes.agent import FakeAgent
from tests.fakes.engine import FakeEngine

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\nimage: some/image\nport: 8000\nreplicas: {}\n"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    with tempfile.TemporaryDirectory(prefix="dst") as folder:
        engine = FakeEngine(Path(folder) / "d.sock")
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        LocalProvider._facts = None
        engine.start()
        yield engine
        engine.stop()
        LocalProvider._facts = None


def away(engine: FakeEngine) -> None:
    engine.stop()
    LocalProvider._facts = None


def back(engine: FakeEngine) -> None:
    engine.start()
    LocalProvider._facts = None


def serving(alice: Access, project: Project, *, replicas: int = 1) -> tuple[Run, FakeAgent]:
    request = PlanRequest(YAML.format(replicas))
    run = services.submit(access=alice, project=project, request=request)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    look(run, at=timezone.now())
    assert run.state == states.RUNNING
    return run, agent


def look(run: Run, *, at: datetime) -> None:
    reconcile.reconcile(ids=[run.pk], at=at)
    run.refresh_from_db()


def say(agent: FakeAgent, **fields: Any) -> None:
    agent.workloads = {pk: replace(each, **fields) for pk, each in agent.workloads.items()}
    agent.report()


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_run_that_served_waits_for_a_place_and_comes_back(
    alice: Access, project: Project, engine: FakeEngine, replicas: int
) -> None:
    run, agent = serving(alice, project, replicas=replicas)
    away(engine)

    agent.exit_all(reason=wire.REASON_HOST_STOPPED)
    late = timezone.now() + 3 * MINUTE
    for _ in range(6):
        look(run, at=timezone.now())
        waiting = Replica.objects.exclude(state__in=states.REPLICA.final)
        assert run.state == states.PROVISIONING
        assert waiting.count() == replicas
        pauses = [each.not_before - late for each in waiting if each.not_before]
        assert all(pause <= 2 * MINUTE for pause in pauses)
        replica_lifecycle.advance(ids=[each.pk for each in waiting], at=late)

    back(engine)
    look(run, at=timezone.now())
    late = timezone.now() + 6 * MINUTE
    left = Replica.objects.exclude(state__in=states.REPLICA.final)
    replica_lifecycle.advance(ids=list(left.values_list("pk", flat=True)), at=late)
    agent.sync()
    agent.serve()
    look(run, at=late)

    assert run.state == states.RUNNING
    assert Replica.objects.filter(state=states.RUNNING).count() == replicas


def test_a_run_that_never_served_says_what_is_missing(
    alice: Access, project: Project, engine: FakeEngine
) -> None:
    request = PlanRequest(YAML.format(1))
    run = services.submit(access=alice, project=project, request=request)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    away(engine)

    said = {"state": wire.EXITED, "reason": wire.REASON_ENGINE_AWAY, "ready": False}
    say(agent, **said, message="no container engine answers at unix:///x")
    look(run, at=timezone.now())

    assert run.state == states.FAILED
    assert "no container engine answers at unix:///x" in run.error


def test_a_replica_whose_engine_is_away_is_not_sick(
    alice: Access, project: Project, engine: FakeEngine
) -> None:
    run, agent = serving(alice, project)
    away(engine)
    why = f"{wire.PHASE_ENGINE_AWAY}: none answers at {engine.address}"

    say(agent, ready=False, phase=wire.PHASE_ENGINE_AWAY, probe_message=why)
    replica = Replica.objects.get()
    for minutes in (1, 3, 6, 9):
        replica_lifecycle.advance(ids=[replica.pk], at=timezone.now() + minutes * MINUTE)
        replica.refresh_from_db()
        assert (replica.state, replica.phase) == (states.UNHEALTHY, why)
    say(agent, ready=True, phase="", probe_message="")

    replica.refresh_from_db()
    assert (replica.state, replica.phase) == (states.RUNNING, "")
    assert Replica.objects.count() == 1


def test_a_replica_that_is_sick_beside_its_engine_is_replaced_as_before(
    alice: Access, project: Project, engine: FakeEngine
) -> None:
    run, agent = serving(alice, project)

    say(agent, ready=False, phase="starting", probe_message="GET /: answered 500")
    replica = Replica.objects.get()
    replica_lifecycle.advance(ids=[replica.pk], at=timezone.now() + 3 * MINUTE)

    replica.refresh_from_db()
    assert replica.state == states.FAILED


@pytest.mark.parametrize(
    ("phase", "said", "shown"),
    [
        ("starting", "connection refused on 8000", "starting: connection refused on 8000"),
        ("starting", "", "starting"),
        ("pulling image 0.1/1.0 GB", "", "pulling image 0.1/1.0 GB"),
        ("starting", "x" * 300, f"starting: {'x' * 190}"),
    ],
)
def test_what_a_probe_says_is_part_of_the_phase(
    alice: Access, project: Project, engine: FakeEngine, phase: str, said: str, shown: str
) -> None:
    services.submit(access=alice, project=project, request=PlanRequest(YAML.format(1)))
    agent = FakeAgent(Instance.objects.get())
    agent.sync()

    say(agent, state=wire.RUNNING, ready=False, phase=phase, probe_message=said)

    (replica,) = queries.run_json(Run.objects.get())["replicas"]
    assert replica["phase"] == shown
