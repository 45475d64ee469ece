"""Where a machine is put: subnets by zone, and a security group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.aws.config import AwsConfig
from apps.backends.providers.aws.nets import groups, vpc


@dataclass(frozen=True)
class Place:
    subnet_id: str
    zone: str


@dataclass(frozen=True)
class Network:
    """The places are in the order in which they are tried."""

    group_id: str
    places: tuple[Place, ...]


def found_or_made(
    ec2: Any, config: AwsConfig, zones: Sequence[str], inbound_ports: Sequence[int] = ()
) -> Network:
    """Return the network of a region; `zones` narrow it down and give the order, if there are any.

    Raise ProviderError where no subnet will do.
    """
    vpc_id = _vpc(ec2, config) or vpc.found_or_made(ec2)
    return Network(
        groups.found_or_made(ec2, vpc_id, inbound_ports), usable(ec2, config, vpc_id, zones)
    )


def usable(ec2: Any, config: AwsConfig, vpc_id: str, zones: Sequence[str]) -> tuple[Place, ...]:
    """Return the places of a VPC in order; raise ProviderError where there are none."""
    rows = _subnets(ec2, config, vpc_id)
    places = [Place(row["SubnetId"], row["AvailabilityZone"]) for row in rows]
    wanted = [place for place in places if not zones or place.zone in zones]
    if not wanted:
        raise _no_subnet(vpc_id, config, zones)
    return tuple(sorted(wanted, key=_order(zones)))


def existing_vpc(ec2: Any, config: AwsConfig) -> str | None:
    """Return the VPC that machines would go to, without making one."""
    return _vpc(ec2, config) or vpc.found(ec2)


def _vpc(ec2: Any, config: AwsConfig) -> str | None:
    """Return the VPC that is configured, or else the default one."""
    if config.vpc_id:
        return config.vpc_id
    if config.subnet_ids:
        rows = ec2.describe_subnets(SubnetIds=list(config.subnet_ids))["Subnets"]
        return str(rows[0]["VpcId"])
    rows = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
    return str(rows[0]["VpcId"]) if rows else None


def _subnets(ec2: Any, config: AwsConfig, vpc_id: str) -> list[dict[str, Any]]:
    """Return the subnets that are configured, else those from which a machine gets out."""
    of_vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    rows: list[dict[str, Any]] = ec2.describe_subnets(Filters=of_vpc)["Subnets"]
    if config.subnet_ids:
        return [row for row in rows if row["SubnetId"] in config.subnet_ids]
    if not config.public_ips:
        return rows
    tables = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    return [row for row in rows if row["DefaultForAz"] or _gets_out(tables, row["SubnetId"])]


def _gets_out(tables: list[dict[str, Any]], subnet_id: str) -> bool:
    """Whether the subnet's own table of routes, else the main one, leads to an internet gateway."""
    links = [(link, table) for table in tables for link in table["Associations"]]
    own = [table for link, table in links if link.get("SubnetId") == subnet_id]
    main = [table for link, table in links if link["Main"]]
    routes = [route for table in own or main for route in table["Routes"]]
    return any(str(route.get("GatewayId", "")).startswith("igw-") for route in routes)


def _no_subnet(vpc_id: str, config: AwsConfig, zones: Sequence[str]) -> ProviderError:
    where = f" in {', '.join(zones)}" if zones else ""
    if config.public_ips and not config.subnet_ids:
        what = (
            "has a route to an internet gateway: add one, or set subnet_ids, or public_ips: false"
        )
    else:
        what = "can be used: name others in subnet_ids"
    return ProviderError(
        f"No subnet of {vpc_id}{where} {what}.", kind=ErrorKind.SETUP, scope=Scope.REGION
    )


def _order(zones: Sequence[str]) -> Callable[[Place], tuple[int, str, str]]:
    """Order by zone, as given or by name, then by subnet: the same in every call.

    A client token is of one subnet, so a second call has to begin where the first one did.
    """
    rank = {zone: number for number, zone in enumerate(zones)}
    return lambda place: (rank.get(place.zone, len(rank)), place.zone, place.subnet_id)
