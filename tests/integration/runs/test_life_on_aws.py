"""What a run's life is on AWS alone, as moto emulates it: full zones and regions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.accounts.access import Access
from apps.accounts.models import Project
from apps.instances.models import Instance
from tests.fakes.aws_cloud import Emulator
from tests.integration.runs import rented
from tests.integration.runs.clouds import submit
from tests.integration.runs.rented import YAML, living, told

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("eager"),
    pytest.mark.timeout(120),
]
NORTH, WEST = rented.AWS.regions
TYPE = rented.AWS.size


@pytest.fixture
def north_and_west(aws: Emulator, settings: Any) -> Project:
    return rented.connect(rented.AWS, settings)


@pytest.fixture
def alice(north_and_west: Project) -> Access:
    return rented.alice_of(north_and_west)


def machine() -> dict[str, Any]:
    """Where the one machine that lives is, by its own reference."""
    (row,) = Instance.objects.filter(state="booting")
    return dict(json.loads(row.ref))


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
