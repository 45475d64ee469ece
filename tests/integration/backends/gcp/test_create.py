"""How a machine is asked for: the words of the request, the zones, and that one boot makes one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceState, ProviderError, Scope
from apps.backends.providers.gcp import provider as gcp_provider
from tests.fakes.gcp_world import PROJECT, World
from tests.integration.backends.gcp.machines import (
    CPU,
    L4,
    NORTH,
    SERVER,
    T4,
    A,
    B,
    C,
    F,
    provider,
    spec,
)

KIND = "e2-standard-2"


def zone_of(ref: str) -> str:
    return str(json.loads(ref)["zone"])


def test_asks_for_a_machine_that_only_its_own_programs_can_use(gcp: World) -> None:
    provider().create(spec(user_data="#cloud-config\n", disk_mib=50 * 1024 + 1))

    [asked] = gcp.faults.made
    items = {item["key"]: item["value"] for item in asked["metadata"]["items"]}
    assert items == {"user-data": "#cloud-config\n", "block-project-ssh-keys": "true"}
    assert "serviceAccounts" not in asked
    assert "tags" not in asked
    [disk] = asked["disks"]
    assert (disk["autoDelete"], disk["boot"]) == (True, True)
    assert disk["initializeParams"]["diskSizeGb"] == "51"
    assert disk["initializeParams"]["diskType"].endswith("/pd-balanced")
    assert "ubuntu-2404-lts-amd64" in disk["initializeParams"]["sourceImage"]
    assert asked["scheduling"] == {
        "provisioningModel": "STANDARD",
        "onHostMaintenance": "MIGRATE",
        "automaticRestart": False,
    }


def test_marks_the_machine_with_labels_that_google_takes(gcp: World) -> None:
    tags = {"dstack-web-run": "Hello Wörld", "7": "x" * 90, "dstack-web-server": "another's"}

    provider().create(spec(tags=tags))

    assert gcp.faults.made[0]["labels"] == {
        "dstack-web-server": SERVER,
        "dstack-web-boot": "dstack-1",
        "dstack-web-run": "hello-w-rld",
        "x-7": "x" * 63,
    }


@pytest.mark.parametrize(
    ("instance", "hardware", "spot", "cards", "model"),
    [
        ("g2-standard-4", L4, False, None, "STANDARD"),
        ("n1-standard-4-t4x2", T4, False, "nvidia-tesla-t4", "STANDARD"),
        ("n1-standard-4-t4x2", T4, True, "nvidia-tesla-t4", "SPOT"),
        (KIND, CPU, True, None, "SPOT"),
    ],
)
def test_gpus_are_built_in_or_attached_and_cannot_move(
    gcp: World, instance: str, hardware: base.Hardware, spot: bool, cards: str | None, model: str
) -> None:
    provider().create(spec(instance=instance, hardware=hardware, spot=spot, zones=(A,)))

    [asked] = gcp.faults.made
    scheduling = asked["scheduling"]
    assert (scheduling["onHostMaintenance"], scheduling["provisioningModel"]) == (
        "TERMINATE",
        model,
    )
    assert scheduling.get("instanceTerminationAction") == ("DELETE" if spot else None)
    attached = asked.get("guestAccelerators", [])
    assert [each["acceleratorType"].rpartition("/")[2] for each in attached] == (
        [cards] if cards else []
    )
    assert sum(each["acceleratorCount"] for each in attached) == (2 if cards else 0)
    image = asked["disks"][0]["initializeParams"]["sourceImage"]
    assert ("nvidia" in image) == (hardware.gpu is not None)


def test_a_newer_series_gets_the_only_disk_that_it_takes(gcp: World) -> None:
    provider().create(spec(instance="c4-standard-4", zones=(A,)))

    kind = gcp.faults.made[0]["disks"][0]["initializeParams"]["diskType"]
    assert kind.endswith("/hyperdisk-balanced")


def test_the_network_is_made_once_and_lets_nobody_in(gcp: World) -> None:
    one = provider()
    for number in range(2):
        one.create(spec(f"dstack-{number}"))

    assert gcp.faults.asked["compute.networks.insert"] == 1
    assert list(gcp.networks) == ["dstack-web"]
    assert gcp.firewalls == {}


def test_a_gateway_has_its_ports_open_and_no_other_machine_has(gcp: World) -> None:
    one = provider()
    one.create(spec("dstack-1", inbound_ports=(443, 80)))
    one.create(spec("dstack-2", inbound_ports=(80, 443)))
    one.create(spec("dstack-3"))

    [rule] = gcp.firewalls.values()
    assert rule["allowed"] == [{"IPProtocol": "tcp", "ports": ["80", "443"]}]
    assert rule["targetTags"] == ["dstack-web-in-80-443"]
    marks = [made.get("tags", {}).get("items") for made in gcp.faults.made]
    assert marks == [rule["targetTags"], rule["targetTags"], None]
    assert one.check() == []


def test_a_full_zone_leads_to_the_one_that_google_names(gcp: World) -> None:
    gcp.faults.full = {(KIND, A), (KIND, B), (KIND, C)}

    assert zone_of(provider().create(spec(zones=(A, B, C, F)))) == F
    assert gcp.faults.asked["compute.instances.insert"] == 2


def test_zones_that_were_not_asked_for_are_not_tried(gcp: World) -> None:
    gcp.faults.full = {(KIND, A)}

    with pytest.raises(ProviderError) as refused:
        provider().create(spec(zones=(A,)))

    assert (refused.value.kind, refused.value.scope) == (ErrorKind.CAPACITY, Scope.OFFER_REGION)
    assert f"ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS in {A}" in str(refused.value)
    assert gcp.instances == {}


def test_a_quota_is_told_as_one_of_its_family(gcp: World) -> None:
    gcp.faults.quotas = {(NORTH, "CPUS"): 3}
    one = provider()
    one.create(spec("dstack-1"))

    with pytest.raises(ProviderError) as refused:
        one.create(spec("dstack-2"))

    assert (refused.value.kind, refused.value.scope) == (ErrorKind.QUOTA, Scope.FAMILY_REGION)
    assert gcp.faults.asked["compute.instances.insert"] == 2


@pytest.mark.parametrize("unseen", [False, True])
def test_answers_before_the_machine_lives(
    gcp: World, unseen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp_provider, "WAITED_WITHIN", 0.2)
    one = provider()
    one.create(spec("dstack-0"))
    gcp.faults.seconds, gcp.faults.unseen = 60.0, unseen

    ref = one.create(spec())

    assert one.inspect(ref).state == InstanceState.CREATING
    assert one.create(spec()) == ref
    for operation in gcp.operations.values():
        operation.over_at = 0.0
    assert one.inspect(ref).state == InstanceState.RUNNING
    assert len(gcp.faults.made) == 2


def test_a_making_that_fails_later_is_told_with_its_error(
    gcp: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp_provider, "WAITED_WITHIN", 0.2)
    one = provider()
    one.create(spec("dstack-0"))
    gcp.faults.seconds, gcp.faults.full = 60.0, {(KIND, B)}
    ref = one.create(spec(zones=(B,)))
    assert one.inspect(ref).state == InstanceState.CREATING
    for operation in gcp.operations.values():
        operation.over_at = 0.0

    seen = one.inspect(ref)

    assert seen.state == InstanceState.GONE
    assert seen.error is not None
    assert (seen.error.kind, seen.error.scope) == (ErrorKind.CAPACITY, Scope.OFFER_ZONE)
    assert "does not have enough resources" in seen.message
    one.terminate(ref)
    assert one.inspect(ref).state == InstanceState.GONE


def test_a_machine_that_is_yet_to_come_is_not_taken_for_ended(
    gcp: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcp_provider, "WAITED_WITHIN", 0.2)
    one = provider()
    one.create(spec("dstack-0"))
    gcp.faults.seconds, gcp.faults.unseen = 60.0, True
    ref = one.create(spec())

    one.terminate(ref)

    assert one.inspect(ref).state == InstanceState.CREATING


@pytest.mark.parametrize(
    "changes", [{"user_data": "x" * (256 * 1024 + 1)}, {"name": "Not_A_Name"}, {"name": "x" * 64}]
)
def test_what_google_would_not_take_is_refused_before(gcp: World, changes: Any) -> None:
    with pytest.raises(ProviderError) as refused:
        provider().create(spec(**changes))

    assert refused.value.kind == ErrorKind.REFUSED
    assert not gcp.faults.asked


def test_nothing_but_the_endpoint_is_called(gcp: World) -> None:
    """Google's own way to wait for an operation would ask Google."""
    gcp.faults.seconds = 0.3

    provider().create(spec())

    assert gcp.faults.asked["compute.zoneOperations.get"] > 0
    assert {name.partition(".")[0] for name in gcp.faults.asked} == {"compute"}
    assert PROJECT in gcp.link("x")


def test_of_two_machines_of_a_name_the_first_stays(gcp: World) -> None:
    """As where two workers asked at once, and one found a zone full."""
    one = provider()
    ref = one.create(spec(zones=(B,)))
    row = gcp.instances[B, "dstack-1"]
    link = gcp.link("zones", A, "instances", "dstack-1")
    second = {"creationTimestamp": "2999-01-01T00:00:00.000-00:00", "selfLink": link}
    gcp.instances[A, "dstack-1"] = {**row, **second}

    assert one.create(spec(zones=(A, B))) == ref
    assert list(gcp.instances) == [(B, "dstack-1")]
