"""A run's life on AWS, as moto emulates it: full zones and regions, a stop while it boots, a
machine that dies, one that nobody owns.

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
from apps.backends.providers.aws.provider import AwsProvider
from apps.backends.registry import PROVIDERS
from apps.instances.models import Instance
from apps.instances.strays import orphans
from apps.offers.models import CatalogOffer, CatalogSource
from apps.runs import queries, services
from apps.runs.models import Run
from tests import factories
from tests.fakes.agent import FakeAgent
from tests.fakes.aws_cloud import Emulator
from tests.integration.runs.clouds import pass_time, submit

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
NORTH, WEST, TYPE = "us-east-1", "us-west-2", "m5.large"
CREDS = {"type": "access_key", "access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "k" * 40}
YAML = "type: service\nname: hello\nimage: web\ncommands: [serve]\nport: 8000\ngateway: false\n"
YAML += "resources: {cpu: 2.., memory: 8GB.., disk: 100GB..}\n"


@pytest.fixture
def north_and_west(aws: Emulator, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on AWS in two regions, of which the first is cheaper."""
    settings.DSTACK_AGENT_URL = settings.DSTACK_PUBLIC_URL = "https://dstack.example.com"
    monkeypatch.setitem(PROVIDERS, AwsProvider.kind, AwsProvider)
    source = CatalogSource.objects.create(
        key="aws-test", kind="aws", words="the test", priced_on=date(2026, 11, 1)
    )
    CatalogOffer.objects.bulk_create(
        CatalogOffer(
            kind="aws", region=region, zones=["a", "b"], instance_type=TYPE, cpus=2,
            memory_mib=8192, arch="x86", usd_per_hour=price, spot=spot, source=source,
        )
        for region, price, spot in (
            (NORTH, "0.096", False),
            (WEST, "0.112", False),
            (NORTH, "0.036", True),
            (WEST, "0.041", True),
        )
    )  # fmt: skip
    found = factories.project("cloudy", admin=factories.user("alice"))
    config = {"creds": CREDS, "regions": [NORTH, WEST]}
    backends.connect(project=found, kind="aws", config=config)
    return found


@pytest.fixture
def alice(north_and_west: Project) -> Access:
    return Access(user=north_and_west.members.get(username="alice"))


def machine() -> dict[str, Any]:
    """Where the one machine that lives is, by its own reference."""
    (row,) = Instance.objects.filter(state="booting")
    return dict(json.loads(row.ref))


def living(project: Project) -> list[str]:
    """What AWS itself says that this server has there."""
    provider = backends.provider_of(project.backends.get())
    return [json.loads(each.ref)["id"] for each in provider.list_owned(backends.server_id())]


def told(run: Run) -> dict[str, Any]:
    (replica,) = queries.run_json(queries.find_run(run.project, run.name))["replicas"]
    return dict(replica)


def zone_of_last(aws: Emulator) -> str:
    return aws.faults.made[-1]["Placement.AvailabilityZone"]


def test_the_next_zone_is_taken_where_one_is_full(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    aws.faults.full = {(TYPE, "us-east-1a")}
    run = submit(alice, north_and_west, YAML)

    assert machine()["region"] == NORTH
    assert zone_of_last(aws) == "us-east-1b"
    assert told(run)["phase"] == "booting"


def test_the_next_region_is_taken_where_all_zones_are_full(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    aws.faults.full = {(TYPE, f"us-east-1{zone}") for zone in "abcdef"}
    run = submit(alice, north_and_west, YAML)

    assert machine()["region"] == WEST
    assert [each["region"] for each in told(run)["tried"]] == [NORTH]
    assert "InsufficientInstanceCapacity" in told(run)["tried"][0]["reason"]
    assert len(living(north_and_west)) == 1


def test_a_stop_while_it_boots_ends_the_machine_at_once(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    run = submit(alice, north_and_west, YAML)
    there = living(north_and_west)
    services.stop(access=alice, run=run)

    run.refresh_from_db()
    assert len(there) == 1
    assert run.state == "stopped"
    assert living(north_and_west) == []
    assert Instance.objects.get().state == "terminated"


def test_a_machine_that_dies_is_replaced(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    run = submit(alice, north_and_west, YAML)
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
    assert living(north_and_west) == [machine()["id"]]


def test_a_spot_machine_that_is_taken_back_is_replaced_before_it_ends(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    # Of one type, whose price is the same in both: what spot costs at the emulator may be known.
    wish = "spot_policy: auto\ninstance_types: [m5.large]\n"
    run = submit(alice, north_and_west, YAML + wish)
    agent = FakeAgent(Instance.objects.get())
    agent.sync()
    agent.serve()
    agent.spot_notice = f"{timezone.now() + timedelta(seconds=120):%Y-%m-%dT%H:%M:%SZ}"
    agent.report()

    old, new = run.replicas.order_by("id")
    markets = [each["InstanceMarketOptions.MarketType"] for each in aws.faults.made]
    assert (old.state, old.region, new.region) == ("running", NORTH, WEST)
    assert markets == ["spot", "spot"]
    assert len(living(north_and_west)) == 2

    second = FakeAgent(Instance.objects.get(replicas=new))
    second.sync()
    second.serve()
    old.refresh_from_db()
    run.replicas.filter(pk=old.pk).update(drained_at=timezone.now())
    pass_time(20)
    agent.sync()
    pass_time(40)

    left = run.replicas.get(pk=old.pk)
    assert (old.state, left.state, left.exit_reason) == ("draining", "stopped", "interrupted")
    assert living(north_and_west) == [json.loads(second.instance.ref)["id"]]


def test_a_machine_that_nobody_owns_is_ended(
    aws: Emulator, alice: Access, north_and_west: Project
) -> None:
    """Its row is over, as after answers that never came; and one that no row knows."""
    submit(alice, north_and_west, YAML)
    at = timezone.now()
    Instance.objects.update(state="failed", state_at=at, next_check_at=None)
    orphans.collect_orphans(at=at + orphans.GRACE)
    of_row = living(north_and_west)

    run = submit(alice, north_and_west, YAML.replace("hello", "other"))
    run.replicas.update(workload=None, instance=None)
    unknown = living(north_and_west)
    Instance.objects.all().delete()
    orphans.collect_orphans(at=at)
    noted = living(north_and_west)
    orphans.collect_orphans(at=at + timedelta(hours=1))

    assert of_row == []
    assert len(unknown) == 1 and noted == unknown
    assert living(north_and_west) == []
