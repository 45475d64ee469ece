"""How a machine is asked for: the words of the request, the zones, and that one boot makes one."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apps.backends import base
from apps.backends.base import ErrorKind, Gpu, Hardware, ProviderError, Scope
from apps.backends.providers.aws import images
from apps.backends.providers.aws.nets import vpc
from tests.fakes.aws_cloud import Emulator, Refusal
from tests.integration.backends.aws.machines import NORTH, SERVER, provider, row, spec

A, B, C = (f"{NORTH}{letter}" for letter in "abc")
L4 = Gpu("L4", memory_mib=24576, count=1)


def test_asks_for_a_machine_that_only_its_own_programs_can_use(aws: Emulator) -> None:
    provider().create(spec(user_data="#cloud-config\n", disk_mib=50 * 1024, tags={"run": "hello"}))

    [asked] = aws.faults.made
    assert (asked["MetadataOptions.HttpTokens"], asked["MetadataOptions.HttpEndpoint"]) == (
        "required",
        "enabled",
    )
    assert asked["MetadataOptions.HttpPutResponseHopLimit"] == "1"
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert (asked["MinCount"], asked["MaxCount"]) == ("1", "1")
    assert asked["NetworkInterface.1.AssociatePublicIpAddress"] == "true"
    assert "KeyName" not in asked
    assert base64.b64decode(asked["UserData"]) == b"#cloud-config\n"
    disk = "BlockDeviceMapping.1."
    assert (asked[f"{disk}DeviceName"], asked[f"{disk}Ebs.VolumeType"]) == ("/dev/xvda", "gp3")
    assert asked[f"{disk}Ebs.VolumeSize"] == "50"


def test_marks_the_machine_with_who_made_it_and_for_what(aws: Emulator) -> None:
    aws_provider = provider()

    ref = aws_provider.create(spec("dstack-7", tags={"run": "hello", "Name": "not this"}))

    tags = {tag["Key"]: tag["Value"] for tag in row(aws_provider, ref)["Tags"]}
    assert tags == {
        "Name": "dstack-7",
        "dstack-web-server": SERVER,
        "dstack-web-boot": "dstack-7",
        "run": "hello",
    }


def test_nobody_may_come_in(aws: Emulator) -> None:
    aws_provider = provider()
    for number in range(2):
        aws_provider.create(spec(f"dstack-{number}"))

    [group] = {asked["NetworkInterface.1.SecurityGroupId.1"] for asked in aws.faults.made}
    found = aws_provider._clients.ec2(NORTH).describe_security_groups(GroupIds=[group])
    assert found["SecurityGroups"][0]["IpPermissions"] == []


@pytest.mark.parametrize(
    ("mib", "gib"), [(0, "15"), (1024, "15"), (20 * 1024, "20"), (20 * 1024 + 1, "21")]
)
def test_a_disk_is_as_large_as_asked_and_holds_the_image(aws: Emulator, mib: int, gib: str) -> None:
    provider().create(spec(disk_mib=mib))

    assert aws.faults.made[0]["BlockDeviceMapping.1.Ebs.VolumeSize"] == gib


@pytest.mark.parametrize(
    ("instance", "gpu", "arch", "image"),
    [
        ("m5.large", None, "x86", "ami-00000000000000d02"),
        ("m6g.large", None, "arm", "ami-00000000000000d03"),
        ("g6.xlarge", L4, "x86", "ami-00000000000000e01"),
        ("g5g.xlarge", Gpu("T4G", 16384, 1), "arm", "ami-00000000000000e02"),
    ],
)
def test_starts_the_newest_image_of_its_maker(
    aws: Emulator, instance: str, gpu: Gpu | None, arch: str, image: str
) -> None:
    provider().create(spec(instance=instance, hardware=Hardware(4, 16384, 102400, gpu, arch)))

    assert aws.faults.made[0]["ImageId"] == image


def test_prefers_the_image_that_its_maker_names(aws: Emulator) -> None:
    parameter = images.source_of(spec().offer.hardware).parameter
    aws.faults.parameters[parameter] = "ami-00000000000000d01"

    provider().create(spec())

    assert aws.faults.made[0]["ImageId"] == "ami-00000000000000d01"


@pytest.mark.parametrize(
    "hardware",
    [
        Hardware(4, 16384, 102400, arch="riscv"),
        Hardware(4, 16384, 102400, Gpu("MI300X", 196608, 8, vendor="amd")),
    ],
)
def test_refuses_hardware_that_no_image_is_for(aws: Emulator, hardware: Hardware) -> None:
    with pytest.raises(ProviderError) as refused:
        provider().create(spec(hardware=hardware))

    assert refused.value.kind == ErrorKind.REFUSED
    assert aws.faults.asked["RunInstances"] == 0


@pytest.mark.parametrize(("length", "fits"), [(16 * 1024 - 1, True), (16 * 1024, False)])
def test_sends_no_boot_script_that_aws_would_not_take(
    aws: Emulator, length: int, fits: bool
) -> None:
    wanted = spec(user_data="x" * length)

    if fits:
        provider().create(wanted)
    else:
        with pytest.raises(ProviderError, match="16 KB") as refused:
            provider().create(wanted)
        assert refused.value.kind == ErrorKind.REFUSED
    assert len(aws.faults.made) == fits


@pytest.mark.parametrize("spot", [True, False])
def test_a_spot_machine_is_asked_for_once_and_ends_when_it_is_taken(
    aws: Emulator, spot: bool
) -> None:
    provider().create(spec(spot=spot))

    market = {k: v for k, v in aws.faults.made[0].items() if k.startswith("InstanceMarketOptions")}
    assert market == (
        {
            "InstanceMarketOptions.MarketType": "spot",
            "InstanceMarketOptions.SpotOptions.SpotInstanceType": "one-time",
            "InstanceMarketOptions.SpotOptions.InstanceInterruptionBehavior": "terminate",
        }
        if spot
        else {}
    )


def test_walks_the_zones_in_their_order_until_one_has_room(aws: Emulator) -> None:
    aws.faults.full = {("m5.large", B), ("m5.large", A)}
    aws_provider = provider()

    ref = aws_provider.create(spec(zones=(B, A, C)))

    assert row(aws_provider, ref)["Placement"]["AvailabilityZone"] == C
    assert aws.faults.asked["RunInstances"] == 3


def test_begins_with_the_first_zone_that_is_given(aws: Emulator) -> None:
    aws_provider = provider()

    ref = aws_provider.create(spec(zones=(C, A)))

    assert row(aws_provider, ref)["Placement"]["AvailabilityZone"] == C


def test_goes_on_where_a_subnet_has_no_address_left(aws: Emulator) -> None:
    aws_provider = provider()
    subnets = aws_provider._clients.ec2(NORTH).describe_subnets()["Subnets"]
    aws.faults.no_addresses = {s["SubnetId"] for s in subnets if s["AvailabilityZone"] == A}

    ref = aws_provider.create(spec(zones=(A, B)))

    assert row(aws_provider, ref)["Placement"]["AvailabilityZone"] == B


def test_says_once_that_no_zone_has_room(aws: Emulator) -> None:
    aws.faults.full = {("m5.large", A), ("m5.large", B)}

    with pytest.raises(ProviderError) as refused:
        provider().create(spec(zones=(A, B)))

    error = refused.value
    assert (error.kind, error.scope) == (ErrorKind.CAPACITY, Scope.OFFER_REGION)
    assert error.lifetime
    assert f"(InsufficientInstanceCapacity in {A}, {B}" in str(error)
    assert aws.faults.made == []


@pytest.mark.parametrize(
    ("code", "kind", "scope"),
    [
        ("VcpuLimitExceeded", ErrorKind.QUOTA, Scope.FAMILY_REGION),
        ("MaxSpotInstanceCountExceeded", ErrorKind.QUOTA, Scope.SPOT_REGION),
        (
            "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
            ErrorKind.SETUP,
            Scope.SPOT_REGION,
        ),
        ("UnauthorizedOperation", ErrorKind.SETUP, Scope.REGION),
        ("RequestLimitExceeded", ErrorKind.THROTTLED, Scope.OFFER_REGION),
    ],
)
def test_what_holds_in_every_zone_is_asked_in_one(
    aws: Emulator, code: str, kind: ErrorKind, scope: Scope
) -> None:
    aws.faults.refused["RunInstances"] = Refusal(code)

    with pytest.raises(ProviderError) as refused:
        provider().create(spec(spot=True))

    assert (refused.value.kind, refused.value.scope) == (kind, scope)
    assert aws.faults.asked["RunInstances"] == 1


def test_an_answer_that_was_lost_makes_no_second_machine(aws: Emulator) -> None:
    aws.faults.lost = 1
    aws_provider = provider()

    with pytest.raises(ProviderError) as lost:
        aws_provider.create(spec())
    ref = aws_provider.create(spec())

    assert lost.value.kind == ErrorKind.UNREACHABLE
    assert [owned.ref for owned in aws_provider.list_owned(SERVER)] == [ref]
    assert len(aws.faults.made) == 1


def test_a_machine_whose_tag_is_not_seen_yet_is_found_by_its_token(aws: Emulator) -> None:
    first = provider().create(spec())
    aws.faults.tags_unseen = True

    again = provider().create(spec())

    assert again == first
    assert (aws.faults.asked["RunInstances"], len(aws.faults.made)) == (2, 1)


def test_one_asked_for_in_other_words_before_it_is_seen_is_asked_for_later(aws: Emulator) -> None:
    provider().create(spec(user_data="one"))
    aws.faults.tags_unseen = True

    with pytest.raises(ProviderError, match="IdempotentParameterMismatch") as refused:
        provider().create(spec(user_data="two"))

    assert refused.value.kind == ErrorKind.UNREACHABLE
    assert len(aws.faults.made) == 1


def test_answers_only_when_others_find_the_machine(aws: Emulator) -> None:
    aws.faults.unseen = 1
    aws_provider = provider()

    ref = aws_provider.create(spec())

    assert aws_provider.inspect(ref).state == base.InstanceState.RUNNING


def test_stays_in_the_subnets_that_are_configured(aws: Emulator) -> None:
    subnets = provider()._clients.ec2(NORTH).describe_subnets()["Subnets"]
    wanted = next(s["SubnetId"] for s in subnets if s["AvailabilityZone"] == C)
    aws_provider = provider(subnet_ids=[wanted], public_ips=False)

    ref = aws_provider.create(spec())

    assert row(aws_provider, ref)["SubnetId"] == wanted
    assert aws.faults.made[0]["NetworkInterface.1.AssociatePublicIpAddress"] == "false"


def test_takes_no_subnet_that_leads_nowhere(aws: Emulator) -> None:
    ec2 = provider()._clients.ec2(NORTH)
    own = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    ec2.create_subnet(VpcId=own, CidrBlock="10.9.0.0/24", AvailabilityZone=A)

    with pytest.raises(ProviderError, match="internet gateway") as refused:
        provider(vpc_id=own).create(spec())
    ref = provider(vpc_id=own, public_ips=False).create(spec())

    assert refused.value.kind == ErrorKind.SETUP
    assert row(provider(), ref)["VpcId"] == own


def test_makes_a_network_where_the_account_has_none(aws: Emulator) -> None:
    aws_provider = provider()
    ec2 = aws_provider._clients.ec2(NORTH)
    _without_a_default_vpc(ec2)

    refs = [aws_provider.create(spec(f"dstack-{number}", zones=(B,))) for number in range(2)]

    [own] = {row(aws_provider, ref)["VpcId"] for ref in refs}
    assert own == vpc.found(ec2)
    zones = {s["AvailabilityZone"] for s in ec2.describe_subnets()["Subnets"]}
    assert {A, B, C} <= zones
    assert aws.faults.asked["CreateSubnet"] == len(zones)
    assert aws.faults.asked["CreateInternetGateway"] == 1


def test_goes_on_with_a_network_that_was_begun(aws: Emulator) -> None:
    ec2 = provider()._clients.ec2(NORTH)
    _without_a_default_vpc(ec2)
    aws.faults.refused["CreateRoute"] = Refusal("RequestLimitExceeded")
    with pytest.raises(ProviderError):
        provider().create(spec())

    aws.faults.refused.clear()
    provider().create(spec())

    assert aws.faults.asked["CreateVpc"] == 1


def _without_a_default_vpc(ec2: Any) -> None:
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    for default in ec2.describe_vpcs()["Vpcs"]:
        ec2.delete_vpc(VpcId=default["VpcId"])
