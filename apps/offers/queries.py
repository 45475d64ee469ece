"""Offers of a project's backends: what stands there already, and what the catalog has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.base import Offer, ProviderError
from apps.backends.models import Backend
from apps.core.errors import Detail, Invalid
from apps.offers import blocked, blocks, decide, executors, reasons
from apps.offers.catalog.supply import Supply
from apps.offers.found import FIRST, Found, merged
from apps.specs.sections.service import ServiceSpec

__all__ = ["Found", "Purpose", "find", "offer_json", "refusal", "remarks", "shell", "why_none"]


class Purpose(StrEnum):
    """What offers are looked for: a service that should run, the machine of a gateway, which calls
    this server or is called by it, or a list of what there is."""

    SERVICE = "service"
    GATEWAY = "gateway"
    LIST = "list"


def find(
    *,
    project: Project,
    spec: ServiceSpec,
    trusted: bool = True,
    why_unreached: Callable[[str], str] = lambda kind: "",
    purpose: Purpose = Purpose.LIST,
    at: datetime | None = None,
) -> Found:
    """Match what the project's backends have for who is `trusted` by the server.

    A backend that does not answer is named and left out, and so is one of whose kind
    `why_unreached` says why its machines would be of no use.
    """
    at = at or timezone.now()
    by_name = {backend.name: backend for backend in connected.usable_by(project)}
    calls_server = purpose is not Purpose.GATEWAY
    chosen = list(by_name.values())
    shut = blocked.of(chosen, project_id=project.pk, calls_server=calls_server, at=at)
    base_image = settings.DSTACK_BASE_IMAGE if purpose is Purpose.SERVICE else None
    standing: list[Offer] = []
    supplies: list[Supply] = []
    unavailable: dict[str, str] = {}
    for name, backend in by_name.items():
        if why := why_unreached(backend.kind):
            unavailable[name] = why
            continue
        try:
            supplies += _supply(backend, shut[backend.pk], base_image, at)
            standing += _offers_of(backend)
        except ProviderError as error:
            unavailable[name] = str(error)
    matches = decide.match(
        standing,
        spec,
        base_image=base_image,
        gpu_base_image=settings.DSTACK_GPU_BASE_IMAGE,
        volume_paths=settings.DSTACK_VOLUME_PATHS,
        trusted=trusted or settings.DSTACK_ALLOW_UNISOLATED,
    )
    told = {name: shut[backend.pk] for name, backend in by_name.items()}
    found = Found(project, spec, by_name, unavailable, supplies=supplies, blocks=told)
    return merged(found, matches)


def _supply(
    backend: Backend, shut: Sequence[blocks.Block], base_image: str | None, at: datetime
) -> Iterator[Supply]:
    """Which rows of the catalog a backend gives, where it gives any."""
    provider = backends.provider_of(backend)
    regions = provider.in_catalog()
    if regions is not None:
        yield Supply(
            kinds=(backend.kind,),
            backend=backend.name,
            backend_id=backend.pk,
            regions=regions,
            blocks=tuple(shut),
            at=at,
            families=provider.families,
            base_image=base_image,
            gpu_base_image=settings.DSTACK_GPU_BASE_IMAGE,
        )


def _offers_of(backend: Backend) -> Iterator[Offer]:
    """What its provider has; which of the provider's backends it is, it does not know itself."""
    for offer in backends.provider_of(backend).offers():
        yield dataclasses.replace(offer, backend=backend.name, kind=backend.kind)


def why_none(found: Found) -> str:
    """Say why nothing fits and, where no backend is connected, who can connect one."""
    if not found.backends:
        return connected.why_none_usable(found.project)
    if shut := kept_away(found):
        return shut
    said = reasons.sentence(
        found.matches.refused,
        found.unavailable,
        found.why_not,
        is_without_cloud=all(kind == connected.LOCAL for kind in found.kinds),
    )
    return f"{said} {found.nearest}".strip()


def kept_away(found: Found) -> str:
    """Say what fits and is blocked, by whose words and until when; nothing where nothing is."""
    if not any(found.blocks.values()) or not (count := found.blocked_count):
        return ""
    first = islice(found.walk_whole(), FIRST)
    shut = [(seen.offer, seen.block) for seen in first if seen.block is not None]
    return blocks.sentence(shut, count=count, broken=found.broken, only=not found.total)


def refusal(found: Found) -> Invalid:
    """Return the error of a service that nothing fits, with each reason at its key."""
    said = [reasons.told(reason, about) for reason, about in found.matches.refused.items()]
    if found.backends:
        said += [f"{why} ({count:,} offers)" for why, count in found.why_not.items()]
    details = []
    for each in said:
        path, _, message = each.partition(": ")
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
    shut = [said] if (said := kept_away(found)) else []
    images = {
        "base_image": settings.DSTACK_BASE_IMAGE,
        "gpu_base_image": settings.DSTACK_GPU_BASE_IMAGE,
    }
    first = found.matches.offers[0]
    return [*unavailable, *shut, *executors.remarks(first, spec, **images)]


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
