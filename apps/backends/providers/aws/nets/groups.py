"""Security groups: one that lets nobody in, and one for machines that callers reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from apps.backends.providers.aws.errors import code_of
from apps.backends.providers.aws.nets import vpc

EVERYWHERE = "0.0.0.0/0"
IN_USE = ("DependencyViolation", "InvalidGroup.InUse", "InvalidGroup.NotFound")


class Group(NamedTuple):
    name: str
    description: str


# The agent calls the server: nothing calls the machine.
CLOSED = Group("dstack-web", "Machines of dstack-web: no inbound port")
OPEN = Group("dstack-web-gateway", "Gateways of dstack-web: their own ports are open to all")


def found_or_made(ec2: Any, vpc_id: str, inbound_ports: Sequence[int]) -> str:
    """Return the group of a machine with these ports: all may go out, and come in by them alone."""
    group = OPEN if inbound_ports else CLOSED
    known = found(ec2, vpc_id, group) or _made(ec2, vpc_id, group)
    for port in set(inbound_ports) - _open_ports(known):
        _open(ec2, str(known["GroupId"]), port)
    return str(known["GroupId"])


def found(ec2: Any, vpc_id: str, group: Group = CLOSED) -> dict[str, Any] | None:
    """Return our security group in a VPC."""
    groups = ec2.describe_security_groups(
        Filters=[
            {"Name": "group-name", "Values": [group.name]},
            {"Name": "vpc-id", "Values": [vpc_id]},
        ]
    )["SecurityGroups"]
    return groups[0] if groups else None


def remove_open(ec2: Any, vpc_id: str) -> None:
    """Remove the group of gateways, unless one still has it."""
    known = found(ec2, vpc_id, OPEN)
    if known is None:
        return
    try:
        ec2.delete_security_group(GroupId=known["GroupId"])
    except ClientError as error:
        if code_of(error) not in IN_USE:
            raise


def _made(ec2: Any, vpc_id: str, group: Group) -> dict[str, Any]:
    try:
        made: dict[str, Any] = ec2.create_security_group(
            GroupName=group.name,
            Description=group.description,
            VpcId=vpc_id,
            TagSpecifications=vpc.tags("security-group"),
        )
    except ClientError as error:
        known = found(ec2, vpc_id, group)  # Another worker was quicker.
        if code_of(error) != "InvalidGroup.Duplicate" or not known:
            raise
        return known
    return made


def _open_ports(known: dict[str, Any]) -> set[int]:
    return {
        int(rule["FromPort"])
        for rule in known.get("IpPermissions", ())
        if rule.get("FromPort") is not None and rule.get("FromPort") == rule.get("ToPort")
    }


def _open(ec2: Any, group_id: str, port: int) -> None:
    rule = {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "IpRanges": [{"CidrIp": EVERYWHERE}],
    }
    try:
        ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[rule])
    except ClientError as error:
        if code_of(error) != "InvalidPermission.Duplicate":
            raise
