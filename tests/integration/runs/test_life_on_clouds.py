"""What a run's life is on every cloud alike, as its emulator has it: a stop while it boots, a
machine that dies, one that is taken back, one that nobody owns.

The agents are hand-written; no invented address is dialled.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.instances.models import Instance
from apps.instances.strays import orphans
from apps.runs import services
from tests.fakes.agent import FakeAgent
from tests.integration.runs import rented
from tests.integration.runs.clouds import pass_time, submit
from tests.integration.runs.rented import YAML, living, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
GROUNDS = {each.kind: each for each in (rented.AWS, rented.AZURE, rented.GOOGLE)}


@pytest.fixture(params=sorted(GROUNDS))
def project(request: pytest.FixtureRequest, settings: Any) -> Project:
    request.getfixturevalue(request.param)
    return rented.connect(GROUNDS[request.param], settings)


@pytest.fixture
def alice(project: Project) -> Access:
    return rented.alice_of(project)


def test_a_stop_while_it_boots_ends_the_machine_at_once(alice: Access, project: Project) -> None:
    run = submit(alice, project, YAML)
    there = living(project)
    services.stop(access=alice, run=run)

    run.refresh_from_db()
    assert there == [Instance.objects.get().boot_name]
    assert run.state == "stopped"
    assert living(project) == []
    assert Instance.objects.get().state == "terminated"


def test_a_machine_that_dies_is_replaced(alice: Access, project: Project) -> None:
    run = submit(alice, project, YAML)
    first = Instance.objects.get()
    agent = FakeAgent(first)
    agent.sync()
    agent.serve()
    serving = told(run)
    backends.provider_of(first.backend).terminate(first.ref)
    pass_time(120)

    first.refresh_from_db()
    new = told(run)
    assert serving["state"] == "running"
    assert first.state == "terminated"
    assert (new["state"], new["phase"]) == ("provisioning", "booting")
    assert living(project) == [Instance.objects.get(state="booting").boot_name]


def test_a_spot_machine_that_is_taken_back_is_replaced_before_it_ends(
    alice: Access, project: Project
) -> None:
    """By one in another region, since a cloud takes them back by type and place."""
    ground = GROUNDS[project.backends.get().kind]
    wish = f"spot_policy: spot\ninstance_types: [{ground.size}]\n"
    run = submit(alice, project, YAML + wish)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    agent.spot_notice = f"{timezone.now() + timedelta(seconds=120):%Y-%m-%dT%H:%M:%SZ}"
    agent.report()

    old, new = run.replicas.order_by("id")
    both = living(project)
    second = FakeAgent(Instance.objects.get(replicas=new))
    second.sync()
    second.serve()
    draining = run.replicas.get(pk=old.pk).state
    run.replicas.filter(pk=old.pk).update(drained_at=timezone.now())
    pass_time(20)
    agent.sync()
    pass_time(40)

    left = run.replicas.get(pk=old.pk)
    assert (old.state, (old.region, new.region)) == ("running", ground.regions)
    assert len(both) == 2
    assert (draining, left.state, left.exit_reason) == ("draining", "stopped", "interrupted")
    assert living(project) == [second.instance.boot_name]


def test_a_machine_that_nobody_owns_is_ended(alice: Access, project: Project) -> None:
    """Its row is over, as after answers that never came; and one that no row knows."""
    submit(alice, project, YAML)
    at = timezone.now()
    Instance.objects.update(state="failed", state_at=at, next_check_at=None)
    orphans.collect_orphans(at=at + orphans.GRACE)
    of_row = living(project)

    run = submit(alice, project, YAML.replace("hello", "other"))
    run.replicas.update(workload=None, instance=None)
    unknown = living(project)
    Instance.objects.all().delete()
    orphans.collect_orphans(at=at)
    noted = living(project)
    orphans.collect_orphans(at=at + timedelta(hours=1))

    assert of_row == []
    assert len(unknown) == 1 and noted == unknown
    assert living(project) == []
