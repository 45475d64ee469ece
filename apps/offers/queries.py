"""Offers of a project's backends."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.base import Offer, ProviderError
from apps.backends.models import Backend
from apps.core.errors import Detail, Invalid
from apps.offers import decide, executors, reasons
from apps.specs.sections.service import ServiceSpec


@dataclass(frozen=True)
class Found:
    """`backends` are by name; `unavailable` are those that could not be asked, with the reason."""

    project: Project
    matches: decide.Matches
    backends: dict[str, Backend]
    unavailable: dict[str, str]

    @property
    def kinds(self) -> set[str]:
        return {backend.kind for backend in self.backends.values()}


def find(*, project: Project, spec: ServiceSpec, trusted: bool = True) -> Found:
    """Ask the project's backends and match what they have for who is `trusted` by the server.

    A backend that does not answer is named and left out. Calls the outside: never in a transaction.
    """
    by_name = {backend.name: backend for backend in connected.backends_of(project)}
    offers: list[Offer] = []
    unavailable: dict[str, str] = {}
    for name, backend in by_name.items():
        try:
            offers += _offers_of(backend)
        except ProviderError as error:
            unavailable[name] = str(error)
    matches = decide.match(
        offers,
        spec,
        base_image=settings.DSTACK_BASE_IMAGE,
        trusted=trusted or settings.DSTACK_ALLOW_UNISOLATED,
    )
    return Found(project, matches, by_name, unavailable)


def _offers_of(backend: Backend) -> Iterator[Offer]:
    """What its provider has; which of the provider's backends it is, it does not know itself."""
    for offer in backends.provider_of(backend).offers():
        yield dataclasses.replace(offer, backend=backend.name, kind=backend.kind)


def why_none(found: Found) -> str:
    """Say why nothing fits and, where no backend is connected, who can connect one."""
    if not found.backends:
        return connected.why_missing(found.project.name)
    return reasons.sentence(found.matches.refused, found.unavailable)


def refusal(found: Found) -> Invalid:
    """Return the error of a service that nothing fits, with each reason at its key."""
    details = []
    for reason, about in found.matches.refused.items():
        path, _, message = reasons.told(reason, about).partition(": ")
        details.append(Detail(path, message))
    return Invalid(why_none(found), details=details)


def shell(found: Found, spec: ServiceSpec) -> str | None:
    """Say in which shell the commands would run on the first offer; None where none is used."""
    first = found.matches.offers[0] if found.matches.offers else None
    return executors.shell(first, spec, base_image=settings.DSTACK_BASE_IMAGE)


def remarks(found: Found, spec: ServiceSpec) -> list[str]:
    """Say what backends left unsaid, why nothing fits, and how it would run on the first offer."""
    if not found.matches.offers:
        return [why_none(found)]
    unavailable = [f"{name}: {reason}" for name, reason in found.unavailable.items()]
    first, base_image = found.matches.offers[0], settings.DSTACK_BASE_IMAGE
    return [*unavailable, *executors.remarks(first, spec, base_image=base_image)]


def offer_json(offer: Offer) -> dict[str, Any]:
    """Return an offer as API and CLI show it."""
    gpu = offer.hardware.gpu
    return {
        "backend": offer.backend,
        "region": offer.region,
        "instance": offer.instance,
        "resources": str(offer.hardware),
        "gpu": gpu
        and {
            "name": gpu.name,
            "count": gpu.count,
            "memory_mib": gpu.memory_mib,
            "measured_memory_mib": gpu.measured_mib,
        },
        "spot": offer.spot,
        "price_usd_per_hour": offer.price_usd_per_hour,
        "availability": offer.availability,
    }
