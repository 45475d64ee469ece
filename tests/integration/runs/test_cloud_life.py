"""The life of machines that we made, on the fake cloud: booting, vanishing, stopping, ending."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.agent import wire
from apps.backends import base
from apps.backends import services as backends
from apps.core.models import Event
from apps.instances import calls
from apps.instances import reconcile as instances
from apps.instances.agents import reports
from apps.instances.models import Instance
from apps.runs import services
from apps.runs.models import Replica, Run
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.cloud import World
from tests.integration.runs.clouds import YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]


def serving(run: Run) -> FakeAgent:
    """The agent of the run's machine, on which all is ready."""
    agent = FakeAgent(Instance.objects.get(replicas__run=run))
    agent.sync()
    agent.serve()
    return agent


def test_what_ran_on_a_machine_that_vanished_is_replaced_within_two_minutes(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    serving(run)
    first = Instance.objects.get()
    world.machines.clear()
    pass_time(100)

    first.refresh_from_db()
    old, new = run.replicas.order_by("id")
    assert first.state == "terminated"
    assert (old.state, old.exit_reason) == ("failed", "host_stopped")
    assert (new.state, new.instance_id != first.pk) == ("provisioning", True)
    assert len(world.machines) == 1


def test_nothing_is_placed_on_a_machine_whose_agent_said_goodbye(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = serving(run)
    over = [
        replace(each, state=wire.EXITED, reason=wire.REASON_HOST_STOPPED, ready=False)
        for each in agent.workloads.values()
    ]
    agent.instance.refresh_from_db()
    said = wire.Report(boot_id="boot-1", hostname="host", workloads=over, stopping=True)
    world.ends_nothing = True
    reports.take(instance=agent.instance, report=said, at=timezone.now())

    agent.instance.refresh_from_db()
    pass_time(20)
    new = run.replicas.latest("id")
    events = Event.objects.filter(object_id=agent.instance.pk).order_by("version")
    assert ("lost", "its agent said goodbye") in events.values_list("new", "reason")
    assert new.state == "provisioning"
    assert new.instance_id != agent.instance.pk
    assert world.inspected["i-0"] >= 1


@pytest.mark.parametrize(("seconds", "state"), [(0, "lost"), (29, "lost"), (31, "ready")])
def test_a_report_that_a_goodbye_overtook_brings_no_machine_back(
    world: World, owner: Access, cloudy: Project, seconds: int, state: str
) -> None:
    instance = serving(submit(owner, cloudy)).instance
    world.ends_nothing = True
    at = timezone.now()
    for stopping, later in ((True, 0), (False, seconds)):
        instance.refresh_from_db()
        said = wire.Report(boot_id="boot-1", hostname="host", stopping=stopping)
        reports.take(instance=instance, report=said, at=at + timedelta(seconds=later))

    instance.refresh_from_db()
    assert instance.state == state


CONSOLE = "booting\r\n\x1b[31mcloud-init: no network\x00\n"
FAILED = base.InstanceStatus(
    base.InstanceState.FAILED, message="the image is broken.", console_tail=CONSOLE
)


@pytest.mark.parametrize(
    ("break_it", "seconds", "said"),
    [
        (lambda world: None, 660, "machine i-0 did not call within 10 minutes"),
        (
            lambda world: world.states.update({"i-0": FAILED}),
            60,
            "machine i-0 failed before it called: the image is broken; its console ends with: "
            "booting / [31mcloud-init: no network",
        ),
        (lambda world: world.machines.clear(), 120, "machine i-0 was gone before it called"),
    ],
)
def test_a_machine_that_never_calls_is_an_attempt_and_the_next_offer_follows(
    world: World,
    owner: Access,
    cloudy: Project,
    break_it: Callable[[World], object],
    seconds: int,
    said: str,
) -> None:
    world.regions = ("north", "south")
    run = submit(owner, cloudy)
    first = Instance.objects.get()
    break_it(world)
    pass_time(seconds)

    first.refresh_from_db()
    replica = run.replicas.get()
    assert (first.state, first.error) == ("failed", said)
    assert (replica.state, replica.region) == ("provisioning", "south")
    assert [each["why"] for each in replica.tried] == [said]
    assert list(world.machines) == ["i-1"]


def test_when_no_machine_calls_each_is_named(world: World, owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy)
    pass_time(700)

    run.refresh_from_db()
    assert run.state == "failed"
    assert run.error == (
        "No offer could be had. cloud north big: machine i-0 did not call within 10 minutes."
    )
    assert world.machines == {}


def test_the_boot_deadline_is_a_setting(
    world: World, owner: Access, cloudy: Project, settings: Any
) -> None:
    settings.DSTACK_BOOT_DEADLINE_SECONDS = 90
    run = submit(owner, cloudy)
    pass_time(160)

    run.refresh_from_db()
    assert run.error.endswith("machine i-0 did not call within 90 s.")


@pytest.mark.parametrize("state", ["requested", "creating", "booting"])
def test_a_stop_before_the_agent_called_ends_all_at_once(
    world: World, owner: Access, cloudy: Project, state: str
) -> None:
    if state == "creating":
        world.on_create = _away
    run = submit(owner, cloudy)
    if state == "requested":
        Instance.objects.update(state="requested", ref="")
        world.machines.clear()
    assert Instance.objects.get().state == state
    services.stop(access=owner, run=run)

    run.refresh_from_db()
    assert run.state == "stopped"
    assert run.replicas.get().state == "stopped"
    assert Instance.objects.get().state == "terminated"
    assert world.machines == {}


def _away(offer: base.Offer) -> None:
    raise base.ProviderError("cloud did not answer", kind=base.ErrorKind.UNREACHABLE)


def test_is_terminated_only_when_the_cloud_says_that_it_is_gone(
    world: World, owner: Access, cloudy: Project
) -> None:
    run = submit(owner, cloudy)
    agent = serving(run)
    world.ends_slowly = 3
    services.stop(access=owner, run=run, abort=True)
    agent.sync()
    told = []
    for _ in range(4):
        told.append((Instance.objects.get().state, len(world.machines)))
        pass_time(40, step=40)

    run.refresh_from_db()
    assert run.state == "stopped"
    assert told[0] == ("terminating", 1)
    assert told[-1] == ("terminated", 0)
    assert {*told} == {told[0], told[-1]}


@pytest.mark.parametrize(
    ("text", "after_stop", "later"),
    [
        ("", "terminated", "terminated"),
        ("idle_duration: 5m\n", "idle", "terminated"),
        ("idle_duration: 0\n", "terminated", "terminated"),
        ("idle_duration: off\n", "idle", "idle"),
    ],
)
def test_a_machine_is_kept_as_long_as_its_service_wants(
    world: World, owner: Access, cloudy: Project, text: str, after_stop: str, later: str
) -> None:
    run = submit(owner, cloudy, YAML + text)
    agent = serving(run)
    services.stop(access=owner, run=run, abort=True)
    agent.sync()
    states = [Instance.objects.get().state]
    Instance.objects.update(reported_at=timezone.now() + timedelta(seconds=400))
    pass_time(400)
    states.append(Instance.objects.get().state)

    assert states == [after_stop, later]


def test_a_reference_may_be_of_any_length(world: World, owner: Access, cloudy: Project) -> None:
    world.ref_length = 5000
    run = submit(owner, cloudy)
    serving(run)

    assert len(Instance.objects.get().ref) == 5000
    assert Replica.objects.get().state == "running"
    assert Run.objects.get(pk=run.pk).state == "running"


@pytest.mark.parametrize("kind", [base.ErrorKind.SETUP, base.ErrorKind.CREDENTIALS])
def test_a_backend_that_does_not_work_is_never_told_as_no_capacity(
    world: World, owner: Access, cloudy: Project, kind: base.ErrorKind
) -> None:
    def refuse(offer: base.Offer) -> None:
        raise base.ProviderError("role dstack is missing: create it.", kind=kind)

    world.on_create = refuse
    run = submit(owner, cloudy)

    run.refresh_from_db()
    assert run.error == "Backend cloud cannot be used: role dstack is missing: create it."
    assert run.replicas.get().exit_reason == "no-backend"


def test_a_cloud_that_hangs_is_not_waited_for_for_ever(
    world: World, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(calls, "CALL_SECONDS", 0.2)

    def hang(offer: base.Offer) -> None:
        answer.wait(30)

    world.on_create = hang
    began_at = time.monotonic()
    submit(owner, cloudy)
    took = time.monotonic() - began_at
    answer.set()

    instance = Instance.objects.get()
    assert took < 20
    assert (instance.state, instance.error) == ("creating", "cloud did not answer within 0.2 s")


def test_a_provider_that_is_broken_is_asked_again_and_stops_nobody_else(
    world: World, owner: Access, cloudy: Project
) -> None:
    def break_down(offer: base.Offer) -> None:
        raise KeyError("zone")

    world.on_create = break_down
    submit(owner, cloudy)
    broken = Instance.objects.get().error
    world.on_create = lambda offer: None
    pass_time(60)

    assert broken == "cloud could not be asked (KeyError)"
    assert Instance.objects.get().state == "booting"


def test_each_backend_has_its_own_turn(cloudy: Project, world: World) -> None:
    other = factories.project("other", admin=factories.user("bob"))
    theirs = backends.connect(project=other, kind="cloud", config={})
    mine = cloudy.backends.get()
    asked, answer = threading.Barrier(calls.AT_ONCE + 1), threading.Event()

    def hang(provider: base.Provider) -> None:
        asked.wait(10)
        answer.wait(10)

    threads = [threading.Thread(target=calls.ask, args=(mine, hang)) for _ in range(calls.AT_ONCE)]
    for thread in threads:
        thread.start()
    asked.wait(10)
    try:
        assert calls.ask(theirs, lambda provider: provider.kind) == "cloud"
        with pytest.raises(calls.Busy):
            calls.ask(mine, lambda provider: provider.kind)
    finally:
        answer.set()
        for thread in threads:
            thread.join()
    assert calls.ask(mine, lambda provider: provider.kind) == "cloud"


def test_machines_of_two_backends_are_advanced_apart(cloudy: Project, world: World) -> None:
    other = factories.project("other", admin=factories.user("bob"))
    backends.connect(project=other, kind="cloud", config={})
    made = [factories.instance(each) for each in (cloudy, other, cloudy)]
    groups = instances.by_backend([each.pk for each in made])

    assert sorted(map(len, groups)) == [1, 2]


def test_no_machine_is_ended_since_none_of_them_reaches_this_server(
    world: World, owner: Access, cloudy: Project
) -> None:
    """They serve on meanwhile. Once one of them calls, the other one is what is broken."""
    submit(owner, cloudy, YAML + "replicas: 2\n")
    first, second = Instance.objects.order_by("pk")
    for machine in (first, second):
        agent = FakeAgent(machine)
        agent.sync()
        agent.serve()
    there = dict(world.machines)
    at = pass_time(1000)
    assert set(Instance.objects.values_list("state", flat=True)) == {"lost"}
    assert world.machines == there

    Instance.objects.filter(pk=first.pk).update(reported_at=at, state="ready")
    Instance.objects.update(next_check_at=at)
    instances.advance(ids=[second.pk], at=at)

    second.refresh_from_db()
    assert second.state in ("terminating", "terminated")
