"""P20: machines made and ended again and again while workers are killed: none left, none doubled.

    CYCLES=1000 pytest tests/bench/cycles_p20.py -s -k gcp     # or azure, shared

Real workers share a cloud that fails by chance (`tests.fakes.shared_cloud`, or the fake of Google
or of Azure) and are killed at random. A cycle is a machine that is asked for, and no longer wanted
once its cloud has made it or refused it. In the end the cloud works, and nothing of it may be left.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.backends import services as backends
from apps.backends.base import Offer
from apps.instances import services, states
from apps.instances import tasks as instance_tasks
from apps.instances.models import Instance
from apps.instances.services import NewWorkload
from dstack_web import tasks as sweeps
from tests.bench import azure as azure_bench
from tests.bench import google
from tests.fakes import azure_world
from tests.fakes.gcp_world import World
from tests.integration.runs.test_crowd import Crowd, crowd

__all__ = ["crowd"]

CYCLES = int(os.environ.get("CYCLES", "1000"))
AT_ONCE = 16
KILL_SECONDS, STEP_SECONDS = 6.0, 0.05
LONGEST_SECONDS = 3000.0


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(LONGEST_SECONDS + 300)
@pytest.mark.parametrize("kind", ["shared", "gcp", "azure"])
@pytest.mark.parametrize("crowd", [20], indirect=True)
def test_p20(
    gcp: World, azure: azure_world.World, crowd: Crowd, kind: str, request: pytest.FixtureRequest
) -> None:
    """The clouds stand before the crowd, whose workers get their addresses."""
    connect = {"gcp": google.connected, "azure": azure_bench.connected}.get(kind)
    offers = connect(crowd, request) if connect else shared(crowd)
    began, kills = time.monotonic(), 0
    killed_at = began
    while (over := ended()) < CYCLES:
        assert time.monotonic() - began < LONGEST_SECONDS, f"{over} cycles only; {crowd.tail()}"
        ask(crowd, offers)
        no_longer_wanted()
        turn(crowd)
        if time.monotonic() - killed_at > KILL_SECONDS:
            killed_at, kills = time.monotonic(), kills + 1
            crowd.kill()
        time.sleep(STEP_SECONDS)
    seconds = time.monotonic() - began
    crowd.world.calm_down()
    while Instance.objects.filter(state__in=states.INSTANCE.unfinished) or there(crowd):
        assert time.monotonic() - began < LONGEST_SECONDS, crowd.machines_wrong()
        no_longer_wanted()
        turn(crowd)
        time.sleep(STEP_SECONDS)
    made = crowd.world.read()["made"]
    asked_for = Instance.objects.count()
    print(f"\n{kind}: {asked_for} machines asked for, {sum(made.values())} made, {kills}")
    print(f"workers killed in {seconds:.0f} s: 0 left, 0 doubled; by state {states_of()}")


def ended() -> int:
    return Instance.objects.filter(state__in=states.INSTANCE.final).count()


def there(crowd: Crowd) -> list[str]:
    """What exists; a row never has two machines."""
    names = list(crowd.world.read()["machines"].values())
    assert len(names) == len(set(names)), "a row has two machines"
    return names


def states_of() -> dict[str, int]:
    return dict(Counter(Instance.objects.values_list("state", flat=True)))


def shared(crowd: Crowd) -> list[Offer]:
    return backends.provider_of(crowd.project.backends.get()).offers()


def ask(crowd: Crowd, offers: list[Offer]) -> None:
    """Ask for machines until so many are under way."""
    backend = crowd.project.backends.get()
    live = Instance.objects.filter(state__in=states.INSTANCE.unfinished).count()
    for number in range(AT_ONCE - live):
        services.place(
            project=crowd.project,
            backend=backend,
            offer=offers[number % len(offers)],
            new=NewWorkload(uuid4(), "bench-0", {}, {}),
            at=timezone.now(),
        )


def no_longer_wanted() -> None:
    for instance in Instance.objects.filter(state=states.BOOTING, workloads__desired="run"):
        live = list(instance.workloads.exclude(state=states.EXITED))
        services.stop_workloads(workloads=live, at=timezone.now())


def turn(crowd: Crowd) -> None:
    there(crowd)
    crowd.every(0.3, "sweep", sweeps.sweep_due.delay)
    crowd.every(1.5, "orphans", instance_tasks.collect_orphans.delay)
