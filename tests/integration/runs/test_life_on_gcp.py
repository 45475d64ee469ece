"""A run's life on Google Cloud, as the fake that is made from its description has it: full zones, a
making that fails after it was answered, a machine that dies, one that nobody owns.

The agents are hand-written; no invented address is dialled.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.backends import services as backends
from apps.backends.providers.gcp import provider as gcp_provider
from apps.instances.models import Instance
from apps.instances.strays import orphans
from apps.offers.models import BlockedOffer, CatalogOffer, CatalogSource
from apps.runs import queries, services
from apps.runs.models import Run
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.gcp_keys import CONFIG
from tests.fakes.gcp_world import World
from tests.integration.runs.clouds import pass_time, submit

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
NORTH, WEST, TYPE = "us-central1", "europe-west4", "e2-standard-2"
YAML = "type: service\nname: hello\nimage: web\ncommands: [serve]\nport: 8000\ngateway: false\n"
YAML += "resources: {cpu: 2.., memory: 8GB.., disk: 100GB..}\n"


@pytest.fixture
def project(gcp: World, settings: Any) -> Project:
    """A project on Google Cloud in two regions, of which the first is cheaper."""
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "https://dstack.example.com"
    source = CatalogSource.objects.create(
        key="gcp-test", kind="gcp", words="the test", priced_on=date(2026, 11, 1)
    )
    CatalogOffer.objects.bulk_create(
        CatalogOffer(
            kind="gcp", region=region, zones=["a", "b"], instance_type=TYPE, cpus=2,
            memory_mib=8192, arch="x86", usd_per_hour=price, spot=spot, source=source,
        )
        for region, price, spot in (
            (NORTH, "0.067", False),
            (WEST, "0.074", False),
            (NORTH, "0.020", True),
        )
    )  # fmt: skip
    found = factories.project("cloudy", admin=factories.user("alice"))
    backends.connect(project=found, kind="gcp", config=CONFIG)
    return found


@pytest.fixture
def alice(project: Project) -> Access:
    return Access(user=project.members.get(username="alice"))


def zones() -> list[str]:
    rows = Instance.objects.filter(state="booting")
    return [str(json.loads(row.ref)["zone"]) for row in rows]


def living(project: Project) -> list[str]:
    """What Google itself says that this server has there."""
    provider = backends.provider_of(project.backends.get())
    return [json.loads(each.ref)["name"] for each in provider.list_owned(backends.server_id())]


def told(run: Run) -> dict[str, Any]:
    (replica,) = queries.run_json(queries.find_run(run.project, run.name))["replicas"]
    return dict(replica)


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


def test_a_stop_while_it_boots_ends_the_machine_at_once(
    gcp: World, alice: Access, project: Project
) -> None:
    run = submit(alice, project, YAML)
    there = living(project)
    services.stop(access=alice, run=run)

    run.refresh_from_db()
    assert len(there) == 1
    assert run.state == "stopped"
    assert living(project) == []
    assert Instance.objects.get().state == "terminated"


@pytest.mark.parametrize("how", ["vanish", "take_back"])
def test_a_machine_that_dies_is_replaced(
    gcp: World, alice: Access, project: Project, how: str
) -> None:
    run = submit(alice, project, YAML)
    first = Instance.objects.get()
    agent = FakeAgent(first)
    agent.sync()
    agent.serve()
    serving = told(run)
    getattr(gcp, how)(first.boot_name)
    pass_time(120)

    first.refresh_from_db()
    new = told(run)
    assert serving["state"] == "running"
    assert first.state == "terminated"
    assert (new["state"], new["phase"]) == ("provisioning", "booting")
    assert len(living(project)) == 1


def test_a_machine_that_nobody_owns_is_ended(gcp: World, alice: Access, project: Project) -> None:
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
