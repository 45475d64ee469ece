"""The provider: one machine is one resource, which tells itself what became of its making."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property

from apps.backends import base
from apps.backends.base import ErrorKind, InstanceSpec, InstanceState, ProviderError, Scope
from apps.backends.providers.azure import (
    catalog,
    check,
    instances,
    machine,
    network,
    permissions,
)
from apps.backends.providers.azure.clients import Clients
from apps.backends.providers.azure.config import AzureConfig
from apps.backends.providers.azure.errors import FAMILIES, told
from apps.backends.providers.azure.instances import Ref

# How long one call waits for the making of a machine, which may take an hour: most that fails
# fails at once. What comes of it later is told by `inspect`.
WAITED_WITHIN = 15.0


class AzureProvider(base.Provider):
    kind = "azure"
    Config = AzureConfig
    features = frozenset({base.Feature.SPOT, base.Feature.CONSOLE})
    families = FAMILIES
    minimal_policy = permissions.MINIMAL_ROLE
    remark = (
        "Built on Microsoft's libraries, and never yet run against Azure itself: try it with one "
        "small machine first."
    )
    config: AzureConfig

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
        """Return nothing: what Azure has, and for how much, is in the catalog."""
        return []

    def create(self, spec: InstanceSpec) -> str:
        """Find the machine of this boot or make it; in which zone, Azure chooses."""
        ref = Ref.read(str(Ref(spec.offer.region, spec.boot.name)))
        if ref is None or len(spec.user_data.encode()) > machine.LONGEST_USER_DATA:
            raise ProviderError(
                "Azure takes no machine of such a name, or with a longer boot than 64 KB.",
                kind=ErrorKind.REFUSED,
                scope=Scope.OFFER_REGION,
            )
        image = machine.image_of(spec.offer.hardware)
        with told(ref.region):
            if instances.find(self._clients, ref) is None:
                place = network.ensure(self._clients, ref.region, spec.inbound_ports)
                wanted = machine.request(spec, image, place, key=instances.key_of_nobody())
                until = time.monotonic() + WAITED_WITHIN
                fault = instances.make(self._clients, ref, wanted, until=until)
                if fault is not None:
                    raise fault.told(ref.region)
        return str(ref)

    @classmethod
    def id_of(cls, ref: str) -> str:
        return known.name if (known := Ref.read(ref)) else ref

    def page_of(self, ref: str) -> str:
        known = Ref.read(ref)
        if known is None:
            return ""
        group, name = known.at
        at = f"subscriptions/{self.config.subscription_id}/resourceGroups/{group}"
        machine_at = f"providers/Microsoft.Compute/virtualMachines/{name}"
        return f"https://portal.azure.com/#@/resource/{at}/{machine_at}"

    def inspect(self, ref: str) -> base.InstanceStatus:
        known = Ref.read(ref)
        if known is None:
            return base.InstanceStatus(InstanceState.GONE)
        with told(known.region):
            row = instances.find(self._clients, known)
            if row is None:
                return base.InstanceStatus(InstanceState.GONE)
            return instances.status(self._clients, row, known)

    def terminate(self, ref: str) -> None:
        known = Ref.read(ref)
        if known is not None:
            with told(known.region):
                instances.terminate(self._clients, known)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        """Ask for all regions at once, whatever regions are configured now."""
        with told("the subscription"):
            found = list(instances.tagged(self._clients, base.SERVER_TAG, server_id))
        return [
            base.OwnedInstance(str(ref), tags.get(machine.BOOT_TAG, ref.name), tags)
            for ref, tags in found
        ]
