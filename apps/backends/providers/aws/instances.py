"""The machines themselves: the one request that makes one, what is said of them, who owns them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from apps.backends.base import SERVER_TAG, InstanceSpec, InstanceState, InstanceStatus
from apps.backends.providers.aws.errors import code_of
from apps.backends.providers.aws.images import Image
from apps.backends.providers.aws.network import Network, Place

BOOT_TAG = "dstack-web-boot"
LIVING = ("pending", "running", "stopping", "stopped")
ENDED = ("shutting-down", "terminated")
UNKNOWN = ("InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed")
STATES = {"pending": InstanceState.CREATING, "running": InstanceState.RUNNING}
ENDED_BY_REQUEST = "Client.UserInitiatedShutdown"
SPOT_NOTICES = ("marked-for-termination", "marked-for-stop", "marked-for-hibernation")
CONSOLE_TAIL = 4096
MIB_PER_GIB = 1024
SEEN_WITHIN = {"Delay": 1, "MaxAttempts": 15}


def request(
    spec: InstanceSpec, image: Image, network: Network, place: Place, *, public_ip: bool
) -> dict[str, Any]:
    """Return what RunInstances is asked, but for its client token."""
    interface = {
        "DeviceIndex": 0,
        "SubnetId": place.subnet_id,
        "Groups": [network.group_id],
        "AssociatePublicIpAddress": public_ip,
        "DeleteOnTermination": True,
    }
    disk = {
        "VolumeType": "gp3",
        "VolumeSize": max(-(-spec.disk_mib // MIB_PER_GIB), image.smallest_gib, 1),
        "DeleteOnTermination": True,
    }
    spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
    return {
        "ImageId": image.id,
        "InstanceType": spec.offer.instance,
        "MinCount": 1,
        "MaxCount": 1,
        "Placement": {"AvailabilityZone": place.zone},
        "NetworkInterfaces": [interface],
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": disk}],
        # Hop limit 1: what runs in a container's own network does not reach it.
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
        },
        "InstanceInitiatedShutdownBehavior": "terminate",
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": _tags(spec)} for kind in ("instance", "volume")
        ],
        "UserData": spec.user_data,
        **(
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": spot}}
            if spec.offer.spot
            else {}
        ),
    }


def run(ec2: Any, asked: dict[str, Any], *, name: str, ended_before: int) -> str:
    """Make the machine and return its id; asked again with the same words, it is the same one.

    A token is of one boot in one subnet; `ended_before` is part of it, since AWS would answer
    with the machine that has ended.
    """
    subnet = asked["NetworkInterfaces"][0]["SubnetId"]
    words = "\n".join([name, subnet, str("InstanceMarketOptions" in asked), str(ended_before)])
    token = hashlib.sha256(words.encode()).hexdigest()
    made = ec2.run_instances(**asked, ClientToken=token)
    return str(made["Instances"][0]["InstanceId"])


def wait_until_seen(ec2: Any, instance_id: str) -> None:
    """Wait for the moment from which on others find it, so that nobody takes it for gone."""
    ec2.get_waiter("instance_exists").wait(InstanceIds=[instance_id], WaiterConfig=SEEN_WITHIN)


def tagged(ec2: Any, tag: str, value: str, states: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Return all machines with this tag in these states."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{tag}", "Values": [value]},
            {"Name": "instance-state-name", "Values": list(states)},
        ]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def find(ec2: Any, instance_id: str) -> dict[str, Any] | None:
    """Return what AWS says of a machine, None if it knows none."""
    try:
        rows = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    except ClientError as error:
        if code_of(error) in UNKNOWN:
            return None
        raise
    found: list[dict[str, Any]] = [row for one in rows for row in one["Instances"]]
    return found[0] if found else None


def status(ec2: Any, row: dict[str, Any]) -> InstanceStatus:
    """Return its state; of one that failed or ended by itself, why and what it said last."""
    name, reason = row["State"]["Name"], row.get("StateReason") or {}
    address = row.get("PublicIpAddress") or row.get("PrivateIpAddress")
    zone = str((row.get("Placement") or {}).get("AvailabilityZone") or "")
    if name in STATES:
        notice = row.get("InstanceLifecycle") == "spot" and _spot_notice(ec2, row["InstanceId"])
        return InstanceStatus(STATES[name], address=address, spot_notice=notice, zone=zone)
    by_request = name in ENDED and reason.get("Code") == ENDED_BY_REQUEST
    return InstanceStatus(
        InstanceState.GONE if name == "terminated" else InstanceState.FAILED,
        message=str(reason.get("Message") or f"AWS says that the machine is {name}."),
        console_tail="" if by_request else console_tail(ec2, row["InstanceId"]),
        zone=zone,
    )


def console_tail(ec2: Any, instance_id: str) -> str:
    """Return the end of what it wrote to its console, "" where there is none to be had."""
    for latest in ({"Latest": True}, {}):  # Older types have no latest output.
        try:
            said = ec2.get_console_output(InstanceId=instance_id, **latest).get("Output", "")
        except (ClientError, BotoCoreError):
            continue
        if said:
            return str(said)[-CONSOLE_TAIL:]
    return ""


def terminate(ec2: Any, instance_id: str) -> None:
    """Ask for the end of a machine; one that AWS does not know has ended."""
    try:
        ec2.terminate_instances(InstanceIds=[instance_id])
    except ClientError as error:
        if code_of(error) not in UNKNOWN:
            raise


def tags_of(row: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags", [])}


def _tags(spec: InstanceSpec) -> list[dict[str, str]]:
    """Return the caller's tags below ours, by which machines are found."""
    every = {
        **spec.tags,
        "Name": spec.boot.name,
        SERVER_TAG: spec.server_id,
        BOOT_TAG: spec.boot.name,
    }
    return [{"Key": key, "Value": value} for key, value in every.items()]


def _spot_notice(ec2: Any, instance_id: str) -> bool:
    """Whether AWS has said that it wants the machine back: about two minutes are left."""
    rows = ec2.describe_spot_instance_requests(
        Filters=[{"Name": "instance-id", "Values": [instance_id]}]
    )["SpotInstanceRequests"]
    return any(row.get("Status", {}).get("Code") in SPOT_NOTICES for row in rows)
