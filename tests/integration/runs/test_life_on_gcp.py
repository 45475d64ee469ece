"""What a run's life is on Google Cloud alone, as the fake that is made from its description has it:
full zones, a making that fails after it was answered, a machine that is taken back, a silent zone.

The agents are hand-written; no invented address is dialled.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends.providers.gcp import provider as gcp_provider
from apps.instances.models import Instance
from apps.instances.strays import orphans
from apps.offers.models import BlockedOffer
from tests.fakes.agent import FakeAgent
from tests.fakes.gcp_world import World
from tests.integration.runs import rented
from tests.integration.runs.clouds import pass_time, submit
from tests.integration.runs.rented import YAML, living, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
NORTH, WEST = rented.GOOGLE.regions
TYPE = rented.GOOGLE.size


@pytest.fixture
def project(gcp: World, settings: Any) -> Project:
    return rented.connect(rented.GOOGLE, settings)


@pytest.fixture
def alice(project: Project) -> Access:
    return rented.alice_of(project)


def zones() -> list[str]:
    rows = Instance.objects.filter(state="booting")
    return [str(json.loads(row.ref)["zone"]) for row in rows]


def test_the_next_zone_is_taken_where_one_is_full(
    gcp: World, alice: Access, project: Project
) -> None:
    gcp.faults.full = {(TYPE, f"{NORTH}-a")}
    run = submit(alice, project, YAML)

    assert zones() == [f"{NORTH}-b"]
    assert told(run)["phase"] == "booting"
    [made] = gcp.faults.made
    assert made["labels"]["dstack-web-run"] == "hello"
    items = {item["key"]: item["value"] for item in made["metadata"]["items"]}
    assert items["user-data"].startswith("#cloud-config\n")


def test_the_next_region_is_taken_where_all_zones_are_full(
    gcp: World, alice: Access, project: Project
) -> None:
    gcp.faults.full = {(TYPE, f"{NORTH}-{letter}") for letter in "abcf"}
    run = submit(alice, project, YAML)

    assert zones() == [f"{WEST}-a"]
    assert [each["region"] for each in told(run)["tried"]] == [NORTH]
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in told(run)["tried"][0]["reason"]
    assert len(living(project)) == 1


def test_a_making_that_fails_after_its_answer_leads_to_the_next_offer(
    gcp: World, alice: Access, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp_provider, "WAITED_WITHIN", 0.1)
    gcp.networks["dstack-web"] = {
        "kind": "compute#network",
        "name": "dstack-web",
        "selfLink": gcp.link("global", "networks", "dstack-web"),
    }
    gcp.faults.seconds, gcp.faults.full = 0.5, {(TYPE, f"{NORTH}-a")}
    run = submit(alice, project, YAML)
    assert (Instance.objects.get().running_at, told(run)["tried"]) == (None, [])
    for operation in gcp.operations.values():
        operation.over_at = 0.0
    gcp.faults.seconds = 0.0
    pass_time(40)

    [block] = BlockedOffer.objects.all()
    assert (block.zone, block.kind) == (f"{NORTH}-a", "capacity")
    assert "does not have enough resources" in block.reason
    assert zones() == [f"{WEST}-a"]


def test_a_machine_that_google_stopped_is_deleted_and_replaced(
    gcp: World, alice: Access, project: Project
) -> None:
    run = submit(alice, project, YAML)
    first = Instance.objects.get()
    agent = FakeAgent(first)
    agent.sync()
    agent.serve()
    gcp.take_back(first.boot_name)
    pass_time(120)

    first.refresh_from_db()
    assert first.state == "terminated"
    assert told(run)["phase"] == "booting"
    assert living(project) == [Instance.objects.get(state="booting").boot_name]


def test_where_one_zone_is_away_no_machine_is_taken_for_gone(
    gcp: World, alice: Access, project: Project
) -> None:
    submit(alice, project, YAML)
    at = timezone.now()
    Instance.objects.update(state="failed", state_at=at, next_check_at=None)
    gcp.faults.unreachable = {f"{NORTH}-a"}
    orphans.collect_orphans(at=at + orphans.GRACE)
    still = len(gcp.instances)
    gcp.faults.unreachable = set()
    orphans.collect_orphans(at=at + orphans.GRACE)

    assert still == 1
    assert gcp.instances == {}
