"""The provider: walks zones, and tells every error of AWS as one of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceSpec, InstanceState, ProviderError, Scope
from apps.backends.dns.port import ManagesDns
from apps.backends.providers.aws import (
    catalog,
    check,
    families,
    images,
    instances,
    network,
    permissions,
)
from apps.backends.providers.aws.clients import FIRST_REGION, Clients
from apps.backends.providers.aws.config import AwsConfig
from apps.backends.providers.aws.errors import (
    CAPACITY_LASTS,
    SUBNET_IS_FULL,
    code_of,
    meaning_of,
    told,
)
from apps.backends.providers.aws.nets import addresses, dns, groups

LONGEST_USER_DATA = 16 * 1024
REGIONS_AT_ONCE = 16
GLOBAL = "Route 53"
ID = re.compile(r"i-[0-9a-f]+")


class Ref(NamedTuple):
    """What a reference holds. Its text is the same for the same machine."""

    region: str
    instance_id: str

    def __str__(self) -> str:
        return json.dumps({"region": self.region, "id": self.instance_id})

    @classmethod
    def read(cls, text: str) -> Ref | None:
        try:
            content = json.loads(text)
            return cls(str(content["region"]), str(content["id"]))
        except (ValueError, TypeError, KeyError):
            return None


class AwsProvider(base.Provider, ManagesDns):
    kind = "aws"
    Config = AwsConfig
    features = frozenset(
        {
            base.Feature.SPOT,
            base.Feature.CONSOLE,
            base.Feature.SHUTS_DOWN_ITSELF,
            base.Feature.STATIC_ADDRESS,
        }
    )
    families = families.FAMILIES
    minimal_policy = permissions.MINIMAL_POLICY
    config: AwsConfig

    @cached_property
    def _clients(self) -> Clients:
        return Clients(self.config)

    def check(self) -> list[base.Problem]:
        return check.problems(self._clients, self.config)

    def in_catalog(self) -> tuple[str, ...]:
        return self.config.regions

    def facts(self) -> list[str]:
        return check.facts(self._clients)

    def regions(self) -> list[str]:
        return self._clients.regions()

    def catalog(self, region: str, *, spot: bool) -> Iterator[base.Offer]:
        with told(region):
            yield from (catalog.spot if spot else catalog.on_demand)(self._clients, region)

    def offers(self) -> list[base.Offer]:
        """Return nothing: what AWS has, and for how much, is in the catalog, which holds offers."""
        return []

    def create(self, spec: InstanceSpec) -> str:
        """Find the machine of this boot or make it, in the first zone that has room.

        A machine that AWS made in an earlier call, cut short, is found by its tag; until that can
        be seen, the client token leads to it.
        """
        if len(spec.user_data.encode()) >= LONGEST_USER_DATA:
            raise ProviderError(
                "The boot script of the machine is longer than the 16 KB that AWS takes.",
                kind=ErrorKind.REFUSED,
            )
        region = spec.offer.region
        with told(region):
            ec2 = self._clients.ec2(region)
            same = (instances.BOOT_TAG, spec.boot.name)
            instance_id = _first(instances.tagged(ec2, *same, instances.LIVING))
            if instance_id is None:
                ended = len(list(instances.tagged(ec2, *same, instances.ENDED)))
                instance_id = self._made(spec, ended_before=ended)
                instances.wait_until_seen(ec2, instance_id)
            return str(Ref(region, instance_id))

    def _made(self, spec: InstanceSpec, *, ended_before: int) -> str:
        region = spec.offer.region
        source = images.source_of(spec.offer.hardware)
        ec2 = self._clients.ec2(region)
        image = images.newest(ec2, self._clients.of("ssm", region), source)
        net = network.found_or_made(ec2, self.config, spec.zones, spec.inbound_ports)
        # No second attempt of boto3's own: it takes a zone that is full for a fault of AWS.
        once = self._clients.ec2(region, attempts=1)
        full: dict[str, ClientError] = {}
        for place in net.places:
            if place.zone in full and code_of(full[place.zone]) != SUBNET_IS_FULL:
                continue
            asked = instances.request(spec, image, net, place, public_ip=self.config.public_ips)
            try:
                return instances.run(once, asked, name=spec.boot.name, ended_before=ended_before)
            except ClientError as error:
                if meaning_of(error).scope is not Scope.OFFER_ZONE:
                    raise
                full[place.zone] = error
        raise _no_room(spec, full)

    @classmethod
    def id_of(cls, ref: str) -> str:
        return known.instance_id if (known := Ref.read(ref)) else ref

    def page_of(self, ref: str) -> str:
        known = Ref.read(ref)
        if known is None or not ID.fullmatch(known.instance_id):
            return ""
        at = f"https://{known.region}.console.aws.amazon.com/ec2/home?region={known.region}"
        return f"{at}#InstanceDetails:instanceId={known.instance_id}"

    def inspect(self, ref: str) -> base.InstanceStatus:
        known = Ref.read(ref)
        if known is None:
            return base.InstanceStatus(InstanceState.GONE)
        with told(known.region):
            ec2 = self._clients.ec2(known.region)
            row = instances.find(ec2, known.instance_id)
            return instances.status(ec2, row) if row else base.InstanceStatus(InstanceState.GONE)

    def terminate(self, ref: str) -> None:
        known = Ref.read(ref)
        if known is not None:
            with told(known.region):
                instances.terminate(self._clients.ec2(known.region), known.instance_id)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        return self.list_owned_in(server_id, ())

    def list_owned_in(self, server_id: str, regions: Collection[str]) -> list[base.OwnedInstance]:
        """Ask all regions at once; one that does not answer is an error, since a part misleads."""
        every = sorted({*self._clients.regions(), *regions})
        clients = {region: self._clients.ec2(region) for region in every}
        with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
            found = pool.map(lambda region: _owned(region, clients[region], server_id), clients)
            return [owned for of_region in found for owned in of_region]

    def reserve_address(self, region: str, name: str, *, server_id: str) -> base.Address:
        with told(region):
            return addresses.reserve(self._clients.ec2(region), region, name, server_id)

    def attach_address(self, ref: str, address: base.Address) -> None:
        known = Ref.read(ref)
        if known is not None:
            with told(known.region):
                ec2 = self._clients.ec2(known.region)
                addresses.attach(ec2, known.instance_id, address)

    def release_address(self, address: base.Address) -> None:
        if region := addresses.region_of(address):
            with told(region):
                addresses.release(self._clients.ec2(region), address)

    def list_addresses(self, server_id: str) -> list[base.Address]:
        clients = {region: self._clients.ec2(region) for region in self._clients.regions()}

        def of_region(region: str) -> list[base.Address]:
            with told(region):
                return addresses.owned(clients[region], region, server_id)

        with ThreadPoolExecutor(REGIONS_AT_ONCE) as pool:
            return [each for found in pool.map(of_region, clients) for each in found]

    @property
    def _route53(self) -> Any:
        return self._clients.of("route53", FIRST_REGION)

    def dns_zone(self, domain: str) -> str:
        with told(GLOBAL):
            return dns.zone_of(self._route53, domain)

    def dns_values(self, zone: str, name: str, kind: str) -> list[str]:
        with told(GLOBAL):
            return dns.values(self._route53, zone, name, kind)

    def set_dns(self, zone: str, name: str, kind: str, values: Sequence[str]) -> str:
        with told(GLOBAL):
            return dns.put(self._route53, zone, name, kind, values)

    def is_dns_spread(self, change: str) -> bool:
        with told(GLOBAL):
            return not change or dns.is_spread(self._route53, change)

    def tidy(self, region: str) -> None:
        with told(region):
            ec2 = self._clients.ec2(region)
            if vpc_id := network.existing_vpc(ec2, self.config):
                groups.remove_open(ec2, vpc_id)


def _owned(region: str, ec2: Any, server_id: str) -> list[base.OwnedInstance]:
    with told(region):
        rows = list(instances.tagged(ec2, base.SERVER_TAG, server_id, instances.LIVING))
    return [
        base.OwnedInstance(
            ref=str(Ref(region, row["InstanceId"])),
            name=tags.get(instances.BOOT_TAG, ""),
            tags=tags,
        )
        for row in rows
        for tags in [instances.tags_of(row)]
    ]


def _first(rows: Iterable[dict[str, Any]]) -> str | None:
    """Return the id of the oldest, the same in every call should there ever be two."""
    every = sorted((str(row["LaunchTime"]), str(row["InstanceId"])) for row in rows)
    return every[0][1] if every else None


def _no_room(spec: InstanceSpec, full: dict[str, ClientError]) -> ProviderError:
    zones: dict[str, list[str]] = {}
    for zone, error in sorted(full.items()):
        zones.setdefault(code_of(error), []).append(zone)
    why = "; ".join(f"{code} in {', '.join(those)}" for code, those in zones.items())
    what = f"{spec.offer.instance}{' (spot)' if spec.offer.spot else ''}"
    return ProviderError(
        f"AWS has no free {what} in {spec.offer.region} now ({why}).",
        kind=ErrorKind.CAPACITY,
        scope=Scope.OFFER_REGION,
        lifetime=CAPACITY_LASTS,
    )
