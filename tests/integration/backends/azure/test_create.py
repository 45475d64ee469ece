"""How a machine is asked for: the words of the request, its network; one boot makes one machine."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceState, ProviderError, Scope
from apps.backends.providers.azure import provider as azure_provider
from tests.fakes.azure_world import World
from tests.integration.backends.azure.machines import (
    A100,
    ARM,
    CPU,
    EUROPE,
    SERVER,
    SIZE,
    WEST,
    provider,
    spec,
)

GPU_SIZE = "Standard_NC24ads_A100_v4"


def made(azure: World) -> dict[str, Any]:
    [asked] = azure.faults.made
    found: dict[str, Any] = asked["properties"]
    return found


def test_asks_for_a_machine_that_only_its_own_programs_can_use(azure: World) -> None:
    provider().create(spec(user_data="#cloud-config\né", disk_mib=50 * 1024 + 1))

    asked = made(azure)
    assert base64.b64decode(asked["osProfile"]["customData"]).decode() == "#cloud-config\né"
    assert "identity" not in azure.faults.made[0]
    assert asked["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"] is True
    disk = asked["storageProfile"]["osDisk"]
    assert (disk["diskSizeGB"], disk["deleteOption"]) == (51, "Delete")
    assert asked["storageProfile"]["imageReference"]["offer"] == "ubuntu-24_04-lts"
    assert "priority" not in asked
    # Whoever else makes a machine of this name is refused, so that none is changed.
    assert azure.faults.conditions == ["*"]


def test_all_that_is_made_with_a_machine_goes_with_it(azure: World) -> None:
    one = provider()
    ref = one.create(spec())
    parts = azure.kinds()
    one.terminate(ref)

    of_network = {"resourceGroups": 1, "virtualNetworks": 1, "networkSecurityGroups": 1}
    of_machine = {"virtualMachines": 1, "networkInterfaces": 1, "publicIPAddresses": 1, "disks": 1}
    assert parts == {**of_network, **of_machine}
    assert azure.kinds() == of_network


@pytest.mark.parametrize(
    ("size", "hardware", "image", "disk"),
    [
        (SIZE, CPU, "server", 30),
        ("Standard_D2ps_v6", ARM, "server-arm64", 30),
        (GPU_SIZE, A100, "2204", 64),
    ],
)
@pytest.mark.parametrize("spot", [False, True])
def test_the_image_goes_by_the_hardware_and_spot_machines_are_deleted(
    azure: World, size: str, hardware: base.Hardware, image: str, disk: int, spot: bool
) -> None:
    provider().create(spec(instance=size, hardware=hardware, spot=spot))

    asked = made(azure)
    assert asked["storageProfile"]["imageReference"]["sku"] == image
    assert asked["storageProfile"]["osDisk"]["diskSizeGB"] == disk
    wanted = ("Spot", "Delete", {"maxPrice": -1.0}) if spot else (None, None, None)
    keys = ("priority", "evictionPolicy", "billingProfile")
    assert tuple(asked.get(key) for key in keys) == wanted


def test_hardware_without_an_image_is_refused_before_anything_is_made(azure: World) -> None:
    amd = base.Hardware(96, 1894400, 0, base.Gpu("MI300X", 196608, 8, vendor="amd"))

    with pytest.raises(ProviderError, match="There is no image") as refused:
        provider().create(spec(hardware=amd))

    assert refused.value.kind == ErrorKind.REFUSED
    assert not azure.faults.asked


def test_marks_the_machine_with_tags_that_azure_takes(azure: World) -> None:
    many = {f"tag-{number}": "x" for number in range(60)}
    tags = {"a/b?": "Hello Wörld", "long": "x" * 300, "Dstack-Web-Server": "another's", **many}

    provider().create(spec(tags=tags))

    found = azure.faults.made[0]["tags"]
    assert len(found) == 50
    assert (found["a-b-"], found["long"]) == ("Hello Wörld", "x" * 256)
    assert (found["dstack-web-server"], found["dstack-web-boot"]) == (SERVER, "dstack-1")
    assert "Dstack-Web-Server" not in found


def test_the_network_is_made_once_for_each_region_and_lets_nobody_in(azure: World) -> None:
    one = provider()
    for number in range(2):
        one.create(spec(f"dstack-{number}"))
    one.create(spec("dstack-2", region=EUROPE))

    assert azure.faults.asked["PUT virtualNetworks"] == 2
    groups = [row for row in azure.resources.values() if row["type"].endswith("SecurityGroups")]
    rules = [rule for group in groups for rule in group["properties"]["securityRules"]]
    assert [rule["properties"]["access"] for rule in rules] == ["Deny", "Deny"]
    assert {rule["properties"]["priority"] for rule in rules} == {4096}


def test_a_gateway_has_its_ports_open_and_no_other_machine_has(azure: World) -> None:
    one = provider()
    one.create(spec("dstack-1", inbound_ports=(443, 80)))
    one.create(spec("dstack-2", inbound_ports=(80, 443)))
    one.create(spec("dstack-3"))

    networks = [each["properties"]["networkProfile"] for each in azure.faults.made]
    [first, second, third] = [
        each["networkInterfaceConfigurations"][0]["properties"]["networkSecurityGroup"]["id"]
        for each in networks
    ]
    assert first == second
    assert first.endswith("/dstack-web-in-80-443") and third.endswith("/dstack-web-closed")
    rules = azure.resources[first.lower()]["properties"]["securityRules"]
    opened = [each["properties"] for each in rules if each["properties"]["access"] == "Allow"]
    assert [each["destinationPortRange"] for each in opened] == ["80", "443"]
    assert one.check() == []


def test_what_failed_after_it_was_accepted_is_removed_with_its_parts(azure: World) -> None:
    azure.faults.full = {(SIZE, WEST)}

    with pytest.raises(ProviderError) as refused:
        provider().create(spec())

    assert (refused.value.kind, refused.value.scope) == (ErrorKind.CAPACITY, Scope.OFFER_REGION)
    assert "AllocationFailed" in str(refused.value)
    assert not azure.machines() and azure.kinds()["disks"] == 0


def test_a_quota_is_told_as_one_of_its_family(azure: World) -> None:
    azure.faults.quotas = {WEST: 3}
    one = provider()
    one.create(spec("dstack-1"))

    with pytest.raises(ProviderError) as refused:
        one.create(spec("dstack-2"))

    assert (refused.value.kind, refused.value.scope) == (ErrorKind.QUOTA, Scope.FAMILY_REGION)
    assert list(azure.machines()) == ["dstack-1"]


@pytest.fixture
def in_a_hurry(azure: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Azure takes fifty minutes for a machine, of which a worker waits for a moment."""
    monkeypatch.setattr(azure_provider, "WAITED_WITHIN", 0.2)
    azure.faults.seconds = 50 * 60
    return azure


def test_a_making_of_fifty_minutes_holds_no_worker(in_a_hurry: World) -> None:
    one = provider()
    ref = one.create(spec())
    seen = []
    for _ in range(10):
        in_a_hurry.pass_time(5 * 60 - 1)
        seen.append(provider().inspect(ref).state)
    again = one.create(spec())
    in_a_hurry.pass_time(60)

    assert seen == [InstanceState.CREATING] * 10
    assert again == ref
    assert one.inspect(ref).state == InstanceState.RUNNING
    assert in_a_hurry.faults.asked["PUT virtualMachines"] == 1
    # One question each time, whoever asks: no answer has to be kept for it.
    assert in_a_hurry.faults.asked["GET operations"] <= 2
    assert len(ref) < 200


def test_a_making_that_fails_later_is_told_with_its_error(in_a_hurry: World) -> None:
    one = provider()
    in_a_hurry.faults.full = {(SIZE, WEST)}
    ref = one.create(spec())
    in_a_hurry.pass_time(50 * 60)

    seen = one.inspect(ref)
    in_a_hurry.faults.seconds = 0
    one.terminate(ref)

    assert seen.state == InstanceState.FAILED and seen.error is not None
    assert (seen.error.kind, seen.error.scope) == (ErrorKind.CAPACITY, Scope.OFFER_REGION)
    assert "sufficient capacity" in seen.message
    assert one.inspect(ref).state == InstanceState.GONE
    assert in_a_hurry.kinds()["disks"] == 0


def test_who_may_not_ask_what_came_of_it_learns_it_from_the_machine(azure: World) -> None:
    azure.faults.refused["GET operations"] = "AuthorizationFailed"
    azure.faults.full = {(SIZE, WEST)}
    one = provider()

    seen = one.inspect(one.create(spec()))

    assert seen.error is not None and seen.error.kind == ErrorKind.CAPACITY


def test_a_network_whose_making_failed_is_made_again(azure: World) -> None:
    one = provider()
    one.create(spec("dstack-1"))
    network = next(row for key, row in azure.resources.items() if "/virtualnetworks/" in key)
    network["properties"]["provisioningState"] = "Failed"

    one.create(spec("dstack-2"))

    assert azure.faults.asked["PUT virtualNetworks"] == 2


def test_a_stop_while_it_is_made_ends_it(in_a_hurry: World) -> None:
    one = provider()
    ref = one.create(spec())
    one.terminate(ref)
    under_way = one.inspect(ref).state
    in_a_hurry.pass_time(50 * 60)

    assert under_way != InstanceState.GONE
    assert one.inspect(ref).state == InstanceState.GONE


def test_who_is_throttled_asks_again_later_and_not_now(azure: World) -> None:
    azure.faults.throttled = 1
    one = provider()

    with pytest.raises(ProviderError) as refused:
        one.create(spec())

    assert refused.value.kind == ErrorKind.THROTTLED
    assert azure.faults.asked.total() == 1
    one.create(spec())


@pytest.mark.parametrize(
    "changes", [{"user_data": "x" * 65_536}, {"name": "Not_A_Name"}, {"name": "x" * 64}]
)
def test_what_azure_would_not_take_is_refused_before(azure: World, changes: Any) -> None:
    with pytest.raises(ProviderError) as refused:
        provider().create(spec(**changes))

    assert refused.value.kind == ErrorKind.REFUSED
    assert not azure.faults.asked


def test_where_an_answer_leads_elsewhere_no_token_goes(azure: World) -> None:
    clients = provider()._clients

    assert clients.is_ours(f"{azure.url}/subscriptions/1/x")
    assert not clients.is_ours(f"{azure.url}.evil.example/x")
    clients.endpoint = ""
    assert clients.is_ours("https://management.azure.com/subscriptions/1/x")
    for other in ("http://management.azure.com/x", "https://management.azure.com.evil.example/x"):
        assert not clients.is_ours(other)
