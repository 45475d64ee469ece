"""Which permissions the credentials need, and which of them they lack, asked by dry runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from apps.backends.base import Hardware, ProviderError
from apps.backends.providers.aws import images
from apps.backends.providers.aws.clients import Clients
from apps.backends.providers.aws.errors import CODES, code_of, meaning_of
from apps.backends.providers.meanings import REFUSED

DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
NO_MACHINE, NO_RESOURCE = "i-00000000000000000", "vol-00000000000000000"
NO_IMAGE = "ami-00000000000000000"
GROUP = {"GroupName": "dstack-web", "Description": "A dry run"}
# What each permission is asked by. All of EC2 know dry runs: nothing is made or ended.
PROBES: dict[str, tuple[str, dict[str, Any]]] = {
    "ec2:DescribeRegions": ("describe_regions", {}),
    "ec2:DescribeAvailabilityZones": ("describe_availability_zones", {}),
    "ec2:DescribeImages": ("describe_images", {"Owners": ["self"]}),
    "ec2:DescribeVpcs": ("describe_vpcs", {}),
    "ec2:DescribeSubnets": ("describe_subnets", {}),
    "ec2:DescribeRouteTables": ("describe_route_tables", {}),
    "ec2:DescribeSecurityGroups": ("describe_security_groups", {}),
    "ec2:DescribeInstances": ("describe_instances", {}),
    "ec2:DescribeSpotInstanceRequests": ("describe_spot_instance_requests", {}),
    "ec2:CreateSecurityGroup": ("create_security_group", GROUP),
    "ec2:CreateTags": (
        "create_tags",
        {"Resources": [NO_RESOURCE], "Tags": [{"Key": "Name", "Value": "dstack-web"}]},
    ),
    "ec2:RunInstances": (
        "run_instances",
        {"ImageId": NO_IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1},
    ),
    "ec2:TerminateInstances": ("terminate_instances", {"InstanceIds": [NO_MACHINE]}),
    "ec2:GetConsoleOutput": ("get_console_output", {"InstanceId": NO_MACHINE}),
}
PARAMETER = "ssm:GetParameter"
SOME_MACHINE = Hardware(cpus=1, memory_mib=1024, disk_mib=1024)
# Those of the check alone are not missed: without them it says less.
FOR_THE_CHECK = ("iam:GetRole", "servicequotas:GetServiceQuota")
# Those of the refresh of prices: without them the prices stay those that came with the version.
FOR_PRICES = (
    "pricing:GetProducts",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeSpotPriceHistory",
)
# Those for regions without a default VPC, where none is configured.
FOR_A_VPC = (
    "ec2:CreateVpc",
    "ec2:CreateInternetGateway",
    "ec2:AttachInternetGateway",
    "ec2:DescribeInternetGateways",
    "ec2:CreateRoute",
    "ec2:CreateSubnet",
)
# Those of gateways on machines.
FOR_GATEWAYS = (
    "ec2:AllocateAddress",
    "ec2:AssociateAddress",
    "ec2:AuthorizeSecurityGroupIngress",
    "ec2:DeleteSecurityGroup",
    "ec2:DescribeAddresses",
    "ec2:DisassociateAddress",
    "ec2:ReleaseAddress",
)
# Those of records that are made for gateways where a person asks for it.
FOR_DNS = (
    "route53:ChangeResourceRecordSets",
    "route53:GetChange",
    "route53:ListHostedZones",
    "route53:ListResourceRecordSets",
)
EVERY = (*PROBES, PARAMETER, *FOR_THE_CHECK, *FOR_PRICES, *FOR_A_VPC, *FOR_GATEWAYS, *FOR_DNS)


def policy(actions: Iterator[str] | tuple[str, ...] | list[str]) -> str:
    """Return a policy that allows these actions and nothing else, to be pasted as it is."""
    statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


MINIMAL_POLICY = policy(EVERY)


def missing(clients: Clients, region: str) -> list[str]:
    """Return the permissions that the credentials lack, by name."""
    ec2, ssm = clients.ec2(region), clients.of("ssm", region)
    image = {"ImageId": _some_image(ec2, ssm)}
    lacks = [
        action
        for action, (method, asked) in PROBES.items()
        if _is_denied(
            getattr(ec2, method),
            {**asked, **(image if "ImageId" in asked else {}), "DryRun": True},
        )
    ]
    parameter = {"Name": images.source_of(SOME_MACHINE).parameter}
    return [*lacks, *([PARAMETER] if _is_denied(ssm.get_parameter, parameter) else [])]


def _is_denied(call: Any, asked: dict[str, Any]) -> bool:
    """Whether the call is forbidden; an unknown machine or a dry run is as good as a yes."""
    try:
        call(**asked)
    except ClientError as error:
        if code_of(error) in DENIED:
            return True
        if code_of(error) in CODES and meaning_of(error) != REFUSED:
            raise
    return False


def _some_image(ec2: Any, ssm: Any) -> str:
    """Return an image that is there: AWS looks at it before it says who may start it."""
    try:
        return images.newest(ec2, ssm, images.source_of(SOME_MACHINE)).id
    except (ClientError, ProviderError):
        return NO_IMAGE
