"""`creation_policy: reuse`: machines that are there are taken, and none is made."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances import services
from apps.instances.models import Instance
from apps.runs import services as runs
from apps.runs.planning import reuse
from apps.runs.planning.request import PlanRequest
from tests import factories
from tests.fakes.cloud import World
from tests.integration.runs.clouds import RETRY, YAML, pass_time, submit

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("eager")]
REUSE = "creation_policy: reuse\n"


def idle_machine(project: Project) -> Instance:
    return factories.instance(
        project,
        backend_kind="cloud",
        region="north",
        instance_type="big",
        state="idle",
        offer={"spot": False},
        price_usd_per_hour=Decimal("0.9"),
        backend=project.backends.get(),
        idle_since=timezone.now(),
        boot_id="b",
        reported_at=timezone.now() + timedelta(seconds=600),
    )


def test_makes_no_machine_and_says_why(world: World, owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy, YAML + REUSE)

    replica = run.replicas.get()
    assert (replica.state, replica.exit_reason) == ("failed", "no-capacity")
    assert replica.message == reuse.NONE_IDLE
    assert (world.machines, Instance.objects.count()) == ({}, 0)


def test_takes_one_that_is_idle(world: World, owner: Access, cloudy: Project) -> None:
    idle = idle_machine(cloudy)

    run = submit(owner, cloudy, YAML + REUSE)

    assert run.replicas.get().instance_id == idle.pk
    assert not world.made


@pytest.mark.parametrize(
    ("more", "idle", "said"),
    [
        ("", 0, []),
        ("", 1, ["{0} is idle: replicas are placed there first"]),
        ("", 5, ["{0}, {1}, {2} and 2 more are idle: replicas are placed there first"]),
        (REUSE, 1, ["{0} is idle: replicas are placed there first"]),
        (REUSE, 0, [reuse.NONE_IDLE]),
    ],
)
def test_the_plan_says_which_idle_machine_is_taken(
    world: World, owner: Access, cloudy: Project, more: str, idle: int, said: list[str]
) -> None:
    names = [idle_machine(cloudy).name for _ in range(idle)]

    plan = runs.plan(access=owner, project=cloudy, request=PlanRequest(YAML + more))

    told = [each for each in plan.warnings if "idle" in each]
    assert len(told) == len(said)
    assert all(
        text.startswith(start.format(*names)) for text, start in zip(told, said, strict=True)
    )


def test_waits_for_one_where_it_is_retried(world: World, owner: Access, cloudy: Project) -> None:
    run = submit(owner, cloudy, RETRY + REUSE)
    pass_time(60)
    idle = idle_machine(cloudy)
    pass_time(120)

    assert run.replicas.latest("id").instance_id == idle.pk
    assert not world.made


def test_of_two_that_want_the_same_one_none_gets_a_new_one(
    world: World, owner: Access, cloudy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was seen idle may be taken before it is asked for."""
    idle_machine(cloudy)
    look = services._reusable

    def late(*asked: Any) -> None:
        assert look(*asked) is not None

    monkeypatch.setattr(services, "_reusable", late)
    run = submit(owner, cloudy, YAML + REUSE)

    assert run.replicas.get().message == reuse.NONE_IDLE
    assert not world.made


@pytest.mark.parametrize("policy", ["", "creation_policy: reuse-or-create\n"])
def test_else_one_is_made(world: World, owner: Access, cloudy: Project, policy: str) -> None:
    submit(owner, cloudy, YAML + policy)

    assert len(world.machines) == 1
