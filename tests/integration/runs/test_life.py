"""The life of a run, with the real database, the real local backend and a fake agent."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.core import notifications
from apps.core.models import Event
from apps.core.transition import transition
from apps.gateways.models import Gateway
from apps.instances import states as instance_states
from apps.instances.models import Instance, Workload
from apps.routing import services as routing
from apps.runs import services, states
from apps.runs.control import decide, reconcile, replica_lifecycle, replica_steps
from apps.runs.models import Replica, Run
from apps.runs.planning.request import PlanRequest
from apps.runs.scale.desired_replicas import set_desired
from gateway import schema
from tests.fakes.agent import FakeAgent

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager", "gateway")]

YAML = "type: service\nname: hello\ncommands: [serve]\nport: 8000\n"


@pytest.fixture
def submitted(alice: Access, project: Project) -> Run:
    return services.submit(access=alice, project=project, request=PlanRequest(YAML))


@pytest.fixture
def agent(submitted: Run) -> FakeAgent:
    return FakeAgent(Instance.objects.get())


def applied(gateway: Gateway, **draining: int) -> None:
    """Let the gateway say that it has the newest table."""
    gateway.refresh_from_db()
    status = schema.Status(boot_id="b", applied=gateway.revision, draining=draining)
    gone = routing.take_status(gateway=gateway, status=status, at=timezone.now())
    for pk in gone:
        notifications.transitioned("replica", "drained", [pk])


def test_gives_a_submitted_run_a_place_on_this_host(submitted: Run) -> None:
    replica = Replica.objects.get()

    assert (replica.state, replica.num) == (states.PROVISIONING, 0)
    assert Instance.objects.get().state == "booting"
    assert Workload.objects.get().state == "assigned"


def test_tells_the_agent_what_to_run(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()

    (spec,) = agent.specs.values()
    assert (spec.name, spec.commands, spec.container_port) == ("hello-0", ["serve"], 8000)
    assert spec.env["DSTACK_SERVICE_URL"] == "http://hello.localhost:8080"


def test_runs_and_is_routed_when_its_probe_passes(
    submitted: Run, agent: FakeAgent, gateway: Gateway
) -> None:
    agent.sync()
    agent.serve()

    submitted.refresh_from_db()
    table = routing.table(gateway=gateway, since=0)
    assert submitted.state == states.RUNNING
    assert table.endpoints[0].hosts == ["hello.localhost"]
    assert [upstream.address for upstream in table.endpoints[0].replicas] == ["127.0.0.1:20000"]


def test_drains_before_it_stops(
    submitted: Run, agent: FakeAgent, gateway: Gateway, alice: Access
) -> None:
    agent.sync()
    agent.serve()
    services.stop(access=alice, run=submitted)
    replica = Replica.objects.get()
    assert replica.state == states.DRAINING

    applied(gateway, **{str(replica.pk): 2})
    assert Workload.objects.get().desired == "run"

    applied(gateway)
    assert Workload.objects.get().desired == "stop"


def test_is_stopped_when_the_last_process_has_ended(
    submitted: Run, agent: FakeAgent, gateway: Gateway, alice: Access
) -> None:
    agent.sync()
    agent.serve()
    services.stop(access=alice, run=submitted)
    applied(gateway)
    agent.sync()

    submitted.refresh_from_db()
    assert submitted.state == states.STOPPED
    assert submitted.finished_at is not None
    assert routing.table(gateway=gateway, since=0).endpoints == []


def test_stops_where_stopping_has_no_limit(
    submitted: Run, agent: FakeAgent, alice: Access, gateway: Gateway
) -> None:
    Run.objects.filter(pk=submitted.pk).update(
        spec={**submitted.spec, "stop_duration_seconds": None}
    )
    agent.sync()
    agent.serve()
    services.stop(access=alice, run=submitted)
    applied(gateway)
    agent.sync()

    submitted.refresh_from_db()
    assert submitted.state == states.STOPPED


def test_an_abort_does_not_wait_for_requests(
    submitted: Run, agent: FakeAgent, alice: Access
) -> None:
    agent.sync()
    agent.serve()
    services.stop(access=alice, run=submitted, abort=True)
    agent.sync()

    submitted.refresh_from_db()
    assert submitted.state == states.STOPPED
    assert [spec.stop_seconds for spec in agent.specs.values()] == [0.0]


def test_fails_with_the_sentence_and_the_last_lines_of_what_exited_at_once(
    submitted: Run, agent: FakeAgent
) -> None:
    agent.sync()
    agent.exit_all(code=127, line="sh: 1: serve: not found")

    submitted.refresh_from_db()
    replica = Replica.objects.get()
    assert (submitted.state, submitted.error) == (states.FAILED, "exited with code 127")
    assert replica.last_lines == ["sh: 1: serve: not found"]


def test_replaces_a_replica_that_was_ready_once(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    agent.serve()
    agent.exit_all(code=137)
    agent.sync()
    agent.serve()

    submitted.refresh_from_db()
    assert submitted.state == states.RUNNING
    assert list(Replica.objects.order_by("pk").values_list("state", "attempt")) == [
        (states.FAILED, 0),
        (states.RUNNING, 1),
    ]


def test_replaces_what_went_down_with_its_host(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    agent.exit_all(reason=wire.REASON_HOST_STOPPED)

    assert Replica.objects.filter(state=states.PROVISIONING).count() == 1


def test_is_out_of_rotation_while_unhealthy(
    submitted: Run, agent: FakeAgent, gateway: Gateway
) -> None:
    agent.sync()
    agent.serve()
    for pk in agent.workloads:
        agent._set(pk, ready=False, probe_message="connection refused")
    agent.report()

    assert Replica.objects.get().state == states.UNHEALTHY
    assert routing.table(gateway=gateway, since=0).endpoints[0].replicas == []


def test_restarts_what_stays_unhealthy(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    agent.serve()
    for pk in agent.workloads:
        agent._set(pk, ready=False, probe_message="connection refused")
    agent.report()
    sick = Replica.objects.get()

    replica_lifecycle.advance(ids=[sick.pk], at=timezone.now() + replica_steps.UNHEALTHY_FOR)

    sick.refresh_from_db()
    assert sick.state == states.FAILED
    assert sick.message == "unhealthy for 2 minutes: connection refused"
    assert Workload.objects.get(replica=sick).desired == "stop"
    assert Replica.objects.exclude(pk=sick.pk).get().num == 0


def test_scales_up_down_and_to_zero(submitted: Run, agent: FakeAgent, alice: Access) -> None:
    services.scale(access=alice, run=submitted, replicas="3")
    agent.sync()
    agent.serve()
    assert sorted(Replica.objects.values_list("num", flat=True)) == [0, 1, 2]

    services.scale(access=alice, run=submitted, replicas="0")
    submitted.refresh_from_db()
    assert submitted.state == states.IDLE
    assert not Replica.objects.exclude(state=states.DRAINING).exists()


def test_each_transition_has_exactly_one_event(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    agent.serve()

    for machine, row in (("run", submitted), ("replica", Replica.objects.get())):
        row.refresh_from_db()
        versions = Event.objects.filter(state_machine=machine, object_id=row.pk).order_by("version")
        assert list(versions.values_list("version", flat=True)) == list(
            range(row.state_version + 1)
        )


def test_reconciling_again_changes_nothing(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    agent.serve()
    before = Event.objects.count()

    for _ in range(3):
        reconcile.reconcile(ids=[submitted.pk], at=timezone.now())

    assert (Event.objects.count(), Replica.objects.count()) == (before, 1)


def test_catches_up_with_a_workload_whose_hint_was_lost(submitted: Run, agent: FakeAgent) -> None:
    agent.sync()
    Workload.objects.update(state="running", ready=True, address="127.0.0.1:1")

    replica_lifecycle.advance(ids=replica_lifecycle.out_of_sync(), at=timezone.now())

    submitted.refresh_from_db()
    assert submitted.state == states.RUNNING
    assert replica_lifecycle.out_of_sync() == []


def test_what_may_sleep_is_tried_again_when_it_cannot_start(
    alice: Access, project: Project
) -> None:
    """A request wakes it, its replica fails at once: the next one waits, the run goes on."""
    scaling = "replicas: 0..2\nscaling: {metric: rps, target: 10}\n"
    run = services.submit(access=alice, project=project, request=PlanRequest(YAML + scaling))
    for attempt in range(2):
        at = timezone.now()
        set_desired(run_id=run.pk, seen=0 if attempt == 0 else 1, desired=1)
        replica = Replica.objects.exclude(state=states.FAILED).get()
        transition(
            replica,
            states.FAILED,
            at=at,
            next_check_at=None,
            finished_at=at,
            exit_reason="error",
            message="exit 1",
        )

    run.refresh_from_db()
    (waiting,) = Replica.objects.exclude(state=states.FAILED)
    assert run.state == states.PROVISIONING
    assert waiting.attempt == 2
    assert waiting.not_before is not None
    assert waiting.not_before - at >= decide.BACKOFF.first


def test_does_not_run_while_its_machine_is_silent_and_keeps_its_route(
    submitted: Run, agent: FakeAgent, gateway: Gateway
) -> None:
    agent.sync()
    agent.serve()
    agent.instance.refresh_from_db()

    transition(agent.instance, instance_states.LOST, at=timezone.now(), reason="no report for 60 s")

    submitted.refresh_from_db()
    replica = Replica.objects.get()
    assert (submitted.state, replica.state) == (states.PROVISIONING, states.UNHEALTHY)
    assert replica.phase == "its machine does not report"
    assert len(routing.table(gateway=gateway, since=0).endpoints[0].replicas) == 1

    agent.report()

    submitted.refresh_from_db()
    replica.refresh_from_db()
    assert (submitted.state, replica.state) == (states.RUNNING, states.RUNNING)
    assert replica.phase == ""
