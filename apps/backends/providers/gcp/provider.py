"""The provider: walks zones, and tells every error of Google Cloud as one of ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import cached_property, partial
from urllib.parse import quote

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceSpec, InstanceState, ProviderError, Scope
from apps.backends.providers.gcp import (
    addresses,
    check,
    images,
    instances,
    labels,
    machine,
    network,
    permissions,
)
from apps.backends.providers.gcp.clients import Clients
from apps.backends.providers.gcp.config import GcpConfig
from apps.backends.providers.gcp.errors import CAPACITY_LASTS, FAMILIES, Fault, told
from apps.backends.providers.gcp.instances import Ref
from apps.backends.providers.gcp.pricing import catalog

# Google's own bound for what a machine boots with.
LONGEST_USER_DATA = 256 * 1024
# How long one call looks for a zone with room. What is under way then is told by `inspect`.
TRIED_WITHIN, WAITED_WITHIN = 40.0, 15.0
NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


class GcpProvider(base.Provider):
    kind = "gcp"
    Config = GcpConfig
    features = frozenset({base.Feature.SPOT, base.Feature.CONSOLE, base.Feature.STATIC_ADDRESS})
    families = FAMILIES
    minimal_policy = permissions.MINIMAL_ROLE
    config: GcpConfig

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
            yield from catalog.offers(self._clients, region, spot=spot)

    def offers(self) -> list[base.Offer]:
        """Return nothing: what Google has, and for how much, is in the catalog."""
        return []

    def create(self, spec: InstanceSpec) -> str:
        """Find the machine of this boot or make it, in the first zone that has room."""
        if len(spec.user_data.encode()) > LONGEST_USER_DATA or not NAME.fullmatch(spec.boot.name):
            raise ProviderError(
                "Google Cloud takes no machine of such a name, or with a longer boot than 256 KB.",
                kind=ErrorKind.REFUSED,
            )
        name = spec.boot.name
        with told(spec.offer.region):
            zone = instances.the_one_named(self._clients, name)
            if zone is None:
                made = self._made(spec)
                zone = instances.the_one_named(self._clients, name) or made
            return str(Ref(zone, name))

    def _made(self, spec: InstanceSpec) -> str:
        """Make the machine and return its zone."""
        clients = self._clients
        source = images.source_of(spec.offer.hardware)
        zones = list(spec.zones) or clients.zones(spec.offer.region)
        image = images.newest(clients, source)
        network.ensure(clients)
        marks = network.open_ports(clients, spec.inbound_ports)
        full: dict[str, Fault] = {}
        over = time.monotonic() + TRIED_WITHIN
        while zones and (not full or time.monotonic() < over):
            zone = zones.pop(0)
            wanted = machine.request(
                spec,
                image,
                zone,
                project=clients.project,
                network=network.link(clients),
                marks=marks,
            )
            until = min(time.monotonic() + WAITED_WITHIN, over)
            fault = instances.insert(clients, wanted, zone=zone, until=until)
            if fault is None:
                return zone
            if fault.meaning.scope is not Scope.OFFER_ZONE:
                raise fault.told(zone)
            full[zone] = fault
            # Google says where there is room, so that is where to look first.
            zones = sorted(zones, key=partial(_comes_later, fault.zones_available))
        raise _no_room(spec, full)

    @classmethod
    def id_of(cls, ref: str) -> str:
        return known.name if (known := Ref.read(ref)) else ref

    def page_of(self, ref: str) -> str:
        known = Ref.read(ref)
        if known is None:
            return ""
        at = f"zones/{quote(known.zone)}/instances/{quote(known.name)}"
        project = quote(self.config.project_id)
        return f"https://console.cloud.google.com/compute/instancesDetail/{at}?project={project}"

    def inspect(self, ref: str) -> base.InstanceStatus:
        known = Ref.read(ref)
        if known is None or not NAME.fullmatch(known.zone) or not NAME.fullmatch(known.name):
            return base.InstanceStatus(InstanceState.GONE)
        with told(known.zone):
            row = instances.find(self._clients, known)
            if row is None:
                return instances.not_there(self._clients, known)
            return instances.status(self._clients, row, known)

    def terminate(self, ref: str) -> None:
        known = Ref.read(ref)
        if known is not None and NAME.fullmatch(known.zone) and NAME.fullmatch(known.name):
            with told(known.zone):
                instances.terminate(self._clients, known)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        """Ask for all zones at once, whatever regions are configured now."""
        with told("the project"):
            rows = list(instances.everywhere(self._clients, labels.filtered(server_id)))
        return [
            base.OwnedInstance(str(Ref(zone, row.name)), str(row.name), labels.read(row.labels))
            for zone, row in rows
        ]

    def reserve_address(self, region: str, name: str, *, server_id: str) -> base.Address:
        with told(region):
            return addresses.reserve(self._clients, region, name, server_id)

    def attach_address(self, ref: str, address: base.Address) -> None:
        known = Ref.read(ref)
        if known is None:
            raise ProviderError("There is no such machine.", kind=ErrorKind.REFUSED)
        with told(known.zone):
            addresses.attach(self._clients, known, address)

    def release_address(self, address: base.Address) -> None:
        if region := addresses.region_of(address):
            with told(region):
                addresses.release(self._clients, address)

    def list_addresses(self, server_id: str) -> list[base.Address]:
        with told("the project"):
            return addresses.owned(self._clients, server_id)


def _comes_later(free: tuple[str, ...], zone: str) -> bool:
    return zone not in free


def _no_room(spec: InstanceSpec, full: dict[str, Fault]) -> ProviderError:
    zones: dict[str, list[str]] = {}
    for zone, fault in sorted(full.items()):
        zones.setdefault(fault.code, []).append(zone)
    why = "; ".join(f"{code} in {', '.join(those)}" for code, those in zones.items())
    what = f"{spec.offer.instance}{' (spot)' if spec.offer.spot else ''}"
    return ProviderError(
        f"Google Cloud has no free {what} in {spec.offer.region} now ({why or 'no zone has it'}).",
        kind=ErrorKind.CAPACITY,
        scope=Scope.OFFER_REGION,
        lifetime=CAPACITY_LASTS,
    )
