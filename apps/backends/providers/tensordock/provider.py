"""The provider: one name, one machine, at a cloud that knows neither tags nor idempotency."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from apps.backends import base
from apps.backends.base import InstanceSpec, InstanceState, ProviderError
from apps.backends.providers.meanings import REFUSED
from apps.backends.providers.tensordock import errors, instances, places
from apps.backends.providers.tensordock.client import ID, Client, id_of
from apps.backends.providers.tensordock.config import TensorDockConfig

LONGEST_USER_DATA = 16 * 1024
REGIONS_TOLD = 8


class TensorDockProvider(base.Provider):
    kind = "tensordock"
    Config = TensorDockConfig
    # A size of the same GPU shares its fate: `a100-pcie-80gb`.
    families = {}
    remark = (
        "This follows TensorDock's documented API. It was not verified against the live service."
    )
    config: TensorDockConfig

    @cached_property
    def _client(self) -> Client:
        return Client(self.config.creds.api_key)

    @cached_property
    def _places(self) -> list[places.Place]:
        return places.places(self._client.locations())

    @classmethod
    def family_of(cls, instance: str) -> str:
        size = places.Size.read(instance)
        return size.v0_name if size else instance

    def in_catalog(self) -> tuple[str, ...]:
        return ()

    def regions(self) -> list[str]:
        return sorted({place.region for place in self._places})

    def catalog(self, region: str, *, spot: bool) -> Iterator[base.Offer]:
        """Return nothing of spot: this version of the API has none."""
        if not spot:
            yield from places.offers(self._places, region)

    def check(self) -> list[base.Problem]:
        try:
            self._client.instances()
        except ProviderError as error:
            if error.is_passing:
                raise
            return [base.Problem(str(error))]
        return []

    def facts(self) -> list[str]:
        regions = self.regions()
        if not regions:
            return ["TensorDock lists no GPU that can be rented now."]
        shown = ", ".join(regions[:REGIONS_TOLD])
        more = f" and {len(regions) - REGIONS_TOLD} more" if len(regions) > REGIONS_TOLD else ""
        return [f"GPUs can be rented in {shown}{more}."]

    def offers(self) -> list[base.Offer]:
        """Return nothing: what TensorDock has, and for how much, is in the catalog."""
        return []

    def create(self, spec: InstanceSpec) -> str:
        """Find the machine of this boot by its name, or make it where it costs what was offered.

        An answer that says neither yes nor no is followed by another look for the name.
        """
        if len(spec.user_data.encode()) >= LONGEST_USER_DATA:
            raise REFUSED.error("The boot script of the machine is longer than 16 KB.")
        name = instances.name_of(spec.boot.name, spec.server_id)
        known = instances.named(self._client.instances(), name)
        return known or self._made(spec, name)

    def _made(self, spec: InstanceSpec, name: str) -> str:
        size = places.Size.read(spec.offer.instance)
        found = places.places(self._client.locations())
        fitting = places.candidates(found, size, spec.offer, spec.zones) if size else []
        full: list[ProviderError] = []
        for place in fitting:
            assert size is not None, "without a size nothing fits"
            try:
                return self._asked(instances.request(spec, place, size, name), name)
            except ProviderError as error:
                if error.kind is not base.ErrorKind.CAPACITY:
                    raise
                full.append(error)
        raise _no_room(spec, full)

    def _asked(self, attributes: dict[str, object], name: str) -> str:
        try:
            made = id_of(self._client.create(attributes))
            unclear = errors.silence("its answer names no machine", asked="POST instances")
        except ProviderError as error:
            if error.kind is not base.ErrorKind.UNREACHABLE:
                raise
            made, unclear = "", error
        made = made or instances.named(self._client.instances(), name) or ""
        if not made:
            raise unclear
        return made

    def inspect(self, ref: str) -> base.InstanceStatus:
        row = self._client.instance(ref) if ID.fullmatch(ref) else None
        if row is None:
            return base.InstanceStatus(InstanceState.GONE)
        if not row.get("status"):
            raise errors.silence("its answer has no status", asked="GET instances")
        return instances.status(row)

    def terminate(self, ref: str) -> None:
        if ID.fullmatch(ref):
            self._client.delete(ref)

    def list_owned(self, server_id: str) -> list[base.OwnedInstance]:
        found = instances.ours(self._client.instances(), server_id)
        return [base.OwnedInstance(ref, name) for ref, name in found]


def _no_room(spec: InstanceSpec, full: list[ProviderError]) -> ProviderError:
    what = f"{spec.offer.instance} in {spec.offer.region}"
    price = f"${spec.offer.price_usd_per_hour:g} an hour"
    why = " ".join(dict.fromkeys(map(str, full)))
    told = why or f"None of its locations lists one for {price} or less."
    return errors.NO_CAPACITY.error(f"TensorDock has no free {what} now. {told}")
