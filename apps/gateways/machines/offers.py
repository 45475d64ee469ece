"""Which machine a gateway gets: the cheapest that is always there, in its backend and region; or a
host of the project's."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from functools import cache
from typing import NamedTuple

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.base import Offer
from apps.backends.models import Backend
from apps.core.errors import Detail, Invalid
from apps.offers import queries
from apps.offers.catalog import match
from apps.offers.catalog.as_offer import as_offer
from apps.offers.catalog.supply import Supply
from apps.offers.models import CatalogOffer
from apps.specs.parse import parse
from apps.specs.sections.service import ServiceSpec

DISK_GB = 20
# As a service file would ask for it.
WANTED = f"""\
type: service
commands: [gateway]
port: 80
resources: {{cpu: 2.., memory: 2GB.., disk: {DISK_GB}GB..}}
spot_policy: on-demand
"""


class Choice(NamedTuple):
    backend: Backend
    offer: Offer


def cheapest(*, project: Project, backend: str, region: str, at: datetime) -> Choice:
    """Return the machine to take. Raise Invalid, which says why there is none."""
    row = connected.usable_by(project).filter(name=backend).first()
    if row is None or backends.is_standing(row.kind):
        raise Invalid(_unknown(project, backend), details=[Detail("backend", "is none to use")])
    spec, purpose = _spec(backend, region), queries.Purpose.GATEWAY
    found = queries.find(project=project, spec=spec, purpose=purpose, at=at)
    offer = next((each for each in found.matches.offers if _fits(each, row, region)), None)
    if offer is None:
        raise Invalid(
            f"Backend {row.name} has no machine for a gateway in {region[:64]!r}: "
            f"{queries.why_none(found)}",
            details=[Detail("region", "has no machine for a gateway")],
        )
    return Choice(row, offer)


def on_host(*, project: Project, host: str) -> Choice:
    """Return a host of the project's, which may run services too. Raise Invalid."""
    for row in _host_backends(project):
        for offer in _hosts_of(row):
            if offer.instance == host:
                return Choice(row, offer)
    known = [each.instance for each in hosts(project)]
    first = f"it has {', '.join(known[:10])}" if known else "add it with `dstack host add` first"
    raise Invalid(
        f"Project {project.name} has no host {host[:50]!r} that is ready: {first}.",
        details=[Detail("host", "is none to use")],
    )


def hosts(project: Project) -> list[Offer]:
    """Return the hosts on which a gateway could stand, one offer each, by name."""
    found = {each.instance: each for row in _host_backends(project) for each in _hosts_of(row)}
    return [found[name] for name in sorted(found)]


def _host_backends(project: Project) -> list[Backend]:
    return list(connected.usable_by(project).filter(kind=connected.SSH))


def _hosts_of(row: Backend) -> list[Offer]:
    offers = backends.provider_of(row).offers()
    return [dataclasses.replace(each, backend=row.name, kind=row.kind) for each in offers]


def named(offer: Offer) -> str:
    """Return how an offer is called where it is taken."""
    return f"host {offer.instance}" if offer.shared else f"{offer.instance} in {offer.region}"


def _fits(offer: Offer, backend: Backend, region: str) -> bool:
    """What a plan sorts by price alone may be another region's, or too small for its standing."""
    is_there = (offer.backend, offer.region) == (backend.name, region)
    return is_there and offer.hardware.arch == "x86" and not offer.shared and not offer.spot


def by_region(project: Project) -> list[Offer]:
    """Return the cheapest machine of each region of each backend, in the order of a form."""
    clouds = [each for each in connected.usable_by(project) if not backends.is_standing(each.kind)]
    offers: list[Offer] = []
    for backend in clouds:
        spec = _spec(backend.name)
        found = queries.find(project=project, spec=spec, purpose=queries.Purpose.GATEWAY)
        first: dict[str, Offer] = {}
        for offer in found.standing:
            if _fits(offer, backend, offer.region):
                first.setdefault(offer.region, offer)
        for supply in found.supplies:
            if supply.backend == backend.name:
                first |= _of_supply(backend, supply)
        offers += [first[region] for region in sorted(first)]
    return offers


def _of_supply(backend: Backend, supply: Supply) -> dict[str, Offer]:
    rows = CatalogOffer.objects.filter(kind__in=supply.kinds)
    every = rows.values_list("region", flat=True).order_by("region").distinct()
    found = {}
    for region in supply.regions or tuple(every):
        spec = _spec(backend.name, region)
        for row in match.find(spec, supply, limit=1).cheapest:
            disk = spec.resources.disk_mib
            found[region] = as_offer(row, disk=disk, backend=supply.backend)
    return found


def _unknown(project: Project, backend: str) -> str:
    usable = connected.usable_by(project)
    clouds = [each.name for each in usable if not backends.is_standing(each.kind)]
    if not clouds:
        return (
            f"Project {project.name} has no cloud for the machine of a gateway: connect one on the "
            "page Backends, or with `dstack backend connect aws`."
        )
    return (
        f"Project {project.name} has no backend {backend[:50]!r} for the machine of a gateway: "
        f"take one of {', '.join(clouds)}."
    )


def _spec(backend: str, region: str = "") -> ServiceSpec:
    chosen = {"backends": [backend], "regions": [region] if region else []}
    return _wanted().model_copy(update=chosen)


@cache
def _wanted() -> ServiceSpec:
    return parse(WANTED)
