"""A VPC of our own, for regions without a default one: a gateway, a route, a subnet per zone.

It is found by its tag, and every step looks first for what an earlier call, cut short, has made.
"""

from __future__ import annotations

import ipaddress
from typing import Any

NAME = "dstack-web"
TAG = "dstack-web-network"
BLOCK = ipaddress.ip_network("10.77.0.0/16")
EVERYWHERE = "0.0.0.0/0"
SEEN_WITHIN = {"Delay": 1, "MaxAttempts": 15}


def tags(kind: str) -> list[dict[str, Any]]:
    pairs = [{"Key": "Name", "Value": NAME}, {"Key": TAG, "Value": "1"}]
    return [{"ResourceType": kind, "Tags": pairs}]


def found(ec2: Any) -> str | None:
    """Return ours. Two calls at once may make two; all use the one that sorts first."""
    rows = ec2.describe_vpcs(Filters=[{"Name": f"tag:{TAG}", "Values": ["1"]}])["Vpcs"]
    return min((str(row["VpcId"]) for row in rows), default=None)


def found_or_made(ec2: Any) -> str:
    """Return ours, whole."""
    vpc_id = found(ec2)
    if vpc_id is None:
        made = ec2.create_vpc(CidrBlock=str(BLOCK), TagSpecifications=tags("vpc"))
        vpc_id = str(made["Vpc"]["VpcId"])
        ec2.get_waiter("vpc_exists").wait(VpcIds=[vpc_id], WaiterConfig=SEEN_WITHIN)
    _route(ec2, vpc_id, _gateway(ec2, vpc_id))
    _subnets(ec2, vpc_id)
    return vpc_id


def _gateway(ec2: Any, vpc_id: str) -> str:
    attached = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    rows = ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]
    if rows:
        return str(rows[0]["InternetGatewayId"])
    made = ec2.create_internet_gateway(TagSpecifications=tags("internet-gateway"))
    gateway_id = str(made["InternetGateway"]["InternetGatewayId"])
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
    return gateway_id


def _route(ec2: Any, vpc_id: str, gateway_id: str) -> None:
    main = [
        {"Name": "vpc-id", "Values": [vpc_id]},
        {"Name": "association.main", "Values": ["true"]},
    ]
    table = ec2.describe_route_tables(Filters=main)["RouteTables"][0]
    if not any(route.get("DestinationCidrBlock") == EVERYWHERE for route in table["Routes"]):
        ec2.create_route(
            RouteTableId=table["RouteTableId"],
            DestinationCidrBlock=EVERYWHERE,
            GatewayId=gateway_id,
        )


def _subnets(ec2: Any, vpc_id: str) -> None:
    """Make one in every zone that has none; the block of a zone goes by its place in the list."""
    rows = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Subnets"]
    there = {row["AvailabilityZone"] for row in rows}
    zones = ec2.describe_availability_zones(
        Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
    )["AvailabilityZones"]
    names = sorted(zone["ZoneName"] for zone in zones)
    for name, block in zip(names, BLOCK.subnets(new_prefix=20), strict=False):
        if name not in there:
            ec2.create_subnet(
                VpcId=vpc_id,
                AvailabilityZone=name,
                CidrBlock=str(block),
                TagSpecifications=tags("subnet"),
            )
