"""Offers of a project's backends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings

from apps.accounts.models import Project
from apps.backends import queries as connected
from apps.backends import services as backends
from apps.backends.base import BackendError, Offer
from apps.backends.models import Account
from apps.offers import decide, reasons
from apps.specs.service import ServiceSpec


@dataclass(frozen=True)
class Found:
    """`silent` are the backends that could not be asked, with the reason in words."""

    project: Project
    matches: decide.Matches
    accounts: dict[str, Account]
    silent: dict[str, str]


def find(*, project: Project, spec: ServiceSpec, trusted: bool = True) -> Found:
    """Ask the project's backends and match what they have for who is `trusted` by the server.

    A backend that does not answer is named and left out. Calls the outside: never in a transaction.
    """
    accounts = {account.kind: account for account in connected.accounts_of(project)}
    offers: list[Offer] = []
    silent: dict[str, str] = {}
    for kind, account in accounts.items():
        try:
            offers += backends.open_account(account).offers()
        except BackendError as error:
            silent[kind] = str(error)
    matches = decide.match(
        offers,
        spec,
        base_image=settings.DSTACK_BASE_IMAGE,
        trusted=trusted or settings.DSTACK_ALLOW_UNISOLATED,
    )
    return Found(project, matches, accounts, silent)


def why_none(found: Found) -> str:
    """Say why nothing fits and, where no backend is connected, who can connect one."""
    if not found.accounts:
        return connected.why_missing(found.project.name)
    return reasons.sentence(found.matches.refused, found.silent)


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
