"""Elastic IPs: one for each name, found by its tags, so that a call cut short leaks none twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from apps.backends.base import SERVER_TAG, Address
from apps.backends.providers.aws.errors import code_of

UNKNOWN = (
    "InvalidAllocationID.NotFound",
    "InvalidAllocationID.Malformed",
    "InvalidAssociationID.NotFound",
    "InvalidAddress.NotFound",
)


def reserve(ec2: Any, region: str, name: str, server_id: str) -> Address:
    """Return the address of this name, made where there is none yet."""
    known = sorted(_owned(ec2, server_id, name), key=lambda row: str(row["AllocationId"]))
    if known:
        return _address(region, known[0])
    tags = [{"Key": "Name", "Value": name}, {"Key": SERVER_TAG, "Value": server_id}]
    made = ec2.allocate_address(
        Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
    )
    return _address(region, {**made, "Tags": tags})


def attach(ec2: Any, instance_id: str, address: Address) -> None:
    ec2.associate_address(
        AllocationId=_read(address.ref)[1], InstanceId=instance_id, AllowReassociation=True
    )


def release(ec2: Any, address: Address) -> None:
    """Give it back; one that AWS does not know was given back already."""
    try:
        rows = ec2.describe_addresses(AllocationIds=[_read(address.ref)[1]])["Addresses"]
        for row in rows:
            if row.get("AssociationId"):
                ec2.disassociate_address(AssociationId=row["AssociationId"])
            ec2.release_address(AllocationId=row["AllocationId"])
    except ClientError as error:
        if code_of(error) not in UNKNOWN:
            raise


def owned(ec2: Any, region: str, server_id: str) -> list[Address]:
    return [_address(region, row) for row in _owned(ec2, server_id)]


def region_of(address: Address) -> str:
    """Return its region, "" for a reference that is none of ours."""
    return _read(address.ref)[0]


def _owned(ec2: Any, server_id: str, name: str = "") -> Iterator[dict[str, Any]]:
    wanted = [{"Name": f"tag:{SERVER_TAG}", "Values": [server_id]}]
    wanted += [{"Name": "tag:Name", "Values": [name]}] if name else []
    yield from ec2.describe_addresses(Filters=wanted)["Addresses"]


def _address(region: str, row: dict[str, Any]) -> Address:
    ref = json.dumps({"region": region, "id": row["AllocationId"]})
    return Address(ref=ref, ip=str(row["PublicIp"]), name=_name(row.get("Tags") or ()))


def _name(tags: Iterable[dict[str, str]]) -> str:
    return next((tag["Value"] for tag in tags if tag["Key"] == "Name"), "")


def _read(ref: str) -> tuple[str, str]:
    try:
        content = json.loads(ref)
        return str(content["region"]), str(content["id"])
    except (ValueError, TypeError, KeyError):
        return "", ""
