"""A run's life on Azure, as the fake that Microsoft's models check has it: regions without room, a
making of an hour that fails only then, a machine that shut itself down.

The agents are hand-written; no invented address is dialled.
"""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.providers.azure import provider as azure_provider
from apps.instances.models import Instance
from apps.offers.models import BlockedOffer
from tests.fakes.agent import FakeAgent
from tests.fakes.azure_world import World
from tests.integration.runs import rented
from tests.integration.runs.clouds import pass_time, submit
from tests.integration.runs.rented import YAML, living, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
WEST, EUROPE = rented.AZURE.regions
SIZE = rented.AZURE.size


@pytest.fixture
def project(azure: World, settings: Any) -> Project:
    return rented.connect(rented.AZURE, settings)


@pytest.fixture
def alice(project: Project) -> Access:
    return rented.alice_of(project)


def regions() -> list[str]:
    rows = Instance.objects.filter(state="booting")
    return [str(json.loads(row.ref)["region"]) for row in rows]


def test_the_next_region_is_taken_where_one_has_no_room(
    azure: World, alice: Access, project: Project
) -> None:
    azure.faults.full = {(SIZE, WEST)}
    run = submit(alice, project, YAML)

    assert regions() == [EUROPE]
    assert [each["region"] for each in told(run)["tried"]] == [WEST]
    assert "AllocationFailed" in told(run)["tried"][0]["reason"]
    assert len(living(project)) == 1
    [made] = azure.faults.made
    assert made["tags"]["dstack-web-run"] == "hello"
    data = base64.b64decode(made["properties"]["osProfile"]["customData"])
    assert data.startswith(b"#cloud-config\n")


def test_a_making_of_an_hour_is_waited_for_and_its_failure_leads_to_the_next_offer(
    azure: World, alice: Access, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker waits: each look is one question."""
    monkeypatch.setattr(azure_provider, "WAITED_WITHIN", 0.1)
    azure.faults.seconds, azure.faults.full = 3000.0, {(SIZE, WEST)}
    run = submit(alice, project, YAML)
    asked = azure.faults.asked["GET virtualMachines"]
    pass_time(600, step=30)
    waiting = (Instance.objects.get().state, Instance.objects.get().running_at, told(run)["tried"])
    looks = azure.faults.asked["GET virtualMachines"] - asked
    azure.pass_time(3000)
    azure.faults.seconds = 0.0
    pass_time(700)

    assert waiting == ("booting", None, [])
    assert 15 <= looks <= 40
    [block] = BlockedOffer.objects.all()
    assert (block.region, block.kind) == (WEST, "capacity")
    assert block.until is not None and block.until - timezone.now() > timedelta(minutes=50)
    assert "sufficient capacity" in block.reason
    assert regions() == [EUROPE]
    assert living(project) == [Instance.objects.get(state="booting").boot_name]


def test_a_machine_that_shut_itself_down_is_deleted_and_replaced(
    azure: World, alice: Access, project: Project
) -> None:
    """It costs as much as one that runs."""
    run = submit(alice, project, YAML)
    first = Instance.objects.get()
    agent = FakeAgent(first)
    agent.sync()
    agent.serve()
    azure.switch_off(first.boot_name)
    pass_time(120)

    first.refresh_from_db()
    assert first.state == "terminated"
    assert told(run)["phase"] == "booting"
    assert first.boot_name not in azure.machines() and len(azure.machines()) == 1
