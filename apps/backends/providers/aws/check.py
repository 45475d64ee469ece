"""What is wrong with an account: credentials, permissions, regions, network, spot, quota."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from apps.backends.base import Problem, ProviderError
from apps.backends.providers.aws import network, permissions
from apps.backends.providers.aws.clients import Clients
from apps.backends.providers.aws.config import AwsConfig
from apps.backends.providers.aws.errors import code_of, told
from apps.backends.providers.aws.nets import groups

SPOT_ROLE = "AWSServiceRoleForEC2Spot"
# vCPUs of on-demand machines that may run at once, by quota code.
QUOTAS = {"L-1216C47A": "Standard", "L-DB2E81BA": "G and VT", "L-417A185B": "P"}
REGIONS_AT_ONCE = 8
REGIONS_TOLD = 8


def problems(clients: Clients, config: AwsConfig) -> list[Problem]:
    """Return what is wrong. Raise ProviderError only where AWS could not be asked at all."""
    home = clients.home
    try:
        with told(home):
            clients.of("sts", home).get_caller_identity()
            lacking = permissions.missing(clients, home)
    except ProviderError as error:
        if error.is_passing:
            raise
        return [Problem(f"{error} Check the credentials of this backend and its regions.")]
    if lacking:  # What else is asked would fail for the same reason.
        return [_lacking(lacking)]
    found = list(_of_regions(clients, config))
    if found:
        return found
    with told(home):
        found = list(_of_spot(clients.of("iam", home)))
    pairs = [
        (region, clients.ec2(region), clients.of("service-quotas", region))
        for region in clients.regions()
    ]
    with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
        for some in pool.map(lambda pair: _of_region(config, *pair), pairs):
            found.extend(some)
    return found


def facts(clients: Clients) -> list[str]:
    """Return whose account it is, and how many vCPUs it may run on demand in each region.

    Say nothing of what may not be asked. Where all regions are used, only the first are told.
    """
    home = clients.home
    with told(home):
        who = clients.of("sts", home).get_caller_identity()
    said = [f"Account {who['Account']}, as {who['Arn']}."]
    regions = clients.regions()[:REGIONS_TOLD]
    quotas = [(region, clients.of("service-quotas", region)) for region in regions]
    with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
        found = list(pool.map(lambda pair: _quotas(pair[1]), quotas))
    for region, has in zip(regions, found, strict=True):
        shown = ", ".join(f"{name} {count:g}" for name, count in has.items() if count is not None)
        said += [f"{region}: vCPUs on demand at once: {shown}."] if shown else []
    return said


def _lacking(actions: list[str]) -> Problem:
    policy = permissions.policy(actions)
    return Problem(f"The credentials lack {', '.join(actions)}. Allow this: {policy}", policy)


def _of_regions(clients: Clients, config: AwsConfig) -> Iterator[Problem]:
    """Say which regions of the configuration are unknown or not enabled."""
    with told(clients.home):
        rows = clients.ec2(clients.home).describe_regions(AllRegions=True)["Regions"]
    enabled = {row["RegionName"]: row.get("OptInStatus") != "not-opted-in" for row in rows}
    for region in config.regions:
        if region not in enabled:
            yield Problem(f"AWS has no region {region}: correct its name in regions.")
        elif not enabled[region]:
            yield Problem(
                f"The region {region} is not enabled for this account: enable it in the console "
                "of AWS (Account, AWS Regions) or leave it out of regions."
            )


def _of_spot(iam: Any) -> Iterator[Problem]:
    try:
        iam.get_role(RoleName=SPOT_ROLE)
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            yield Problem(
                f"The account has no role {SPOT_ROLE}, without which it gets no spot machines: "
                "run `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com`."
            )


def _of_region(config: AwsConfig, region: str, ec2: Any, quotas: Any) -> list[Problem]:
    try:
        with told(region):
            return [*_of_network(config, region, ec2), *_of_quotas(region, quotas)]
    except ProviderError as error:
        if error.is_passing:
            raise
        return [Problem(str(error))]


def _of_network(config: AwsConfig, region: str, ec2: Any) -> Iterator[Problem]:
    """Say what is configured and not there, and whether our security group lets somebody in."""
    vpc_id = network.existing_vpc(ec2, config)
    if vpc_id is None:
        return
    network.usable(ec2, config, vpc_id, ())
    group = groups.found(ec2, vpc_id)
    if group and group["IpPermissions"]:
        yield Problem(
            f"The security group {groups.CLOSED.name} ({group['GroupId']}) in {region} has inbound "
            "rules: remove them, since machines are never called from outside."
        )


def _of_quotas(region: str, client: Any) -> Iterator[Problem]:
    """Say so where the account may run nothing at all; one family alone may well be 0."""
    said = _quotas(client)
    if set(said.values()) == {0.0}:
        shown = ", ".join(f"{name} {value:g}" for name, value in said.items() if value is not None)
        yield Problem(
            f"The account may run no machine in {region} (vCPUs on demand: {shown}): ask for more "
            "in the console of AWS (Service Quotas, Amazon EC2), or leave the region out."
        )


def _quotas(client: Any) -> dict[str, float | None]:
    return {name: _quota(client, code) for code, name in QUOTAS.items()}


def _quota(client: Any, code: str) -> float | None:
    """Return it, None where it cannot be known: without the permission, or in an emulator."""
    try:
        quota = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]
    except ClientError:
        return None
    return float(quota["Value"])
