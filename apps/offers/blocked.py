"""Blocked offers: kept when a backend refuses, read with the offers, forgotten when over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta

from apps.backends import identity, way_home
from apps.backends import services as backends
from apps.backends.base import ErrorKind, Offer, ProviderError, Scope
from apps.backends.faults import unheard
from apps.backends.models import Backend
from apps.offers import blocks
from apps.offers.models import BlockedOffer

MOST_CHARACTERS = 500
# Another region that does not answer either is given up only minutes after the first one.
STILL_TELLS = timedelta(minutes=5)
KEY = ("backend", "region", "zone", "family", "instance_type", "spot")


def block(
    *,
    backend: Backend,
    offer: Offer,
    error: ProviderError | None,
    reason: str = "",
    zone: str = "",
    at: datetime,
) -> None:
    """Keep an offer, and what else its refusal holds for, from being asked for a while.

    Without an `error` the machine did not boot or was taken back, which is the same. Nothing is
    blocked of what was there before us, nor by an error that passes, unless it is an outage. Again
    is no error.
    """
    if backends.is_standing(backend.kind):
        return
    family = backends.family_of(backend.kind, offer.instance)
    subject = blocks.subject(offer, error, family=family, zone=zone)
    if subject is None:
        return
    said = " ".join((reason or str(error or "")).replace("\0", "").split())
    row = BlockedOffer(
        backend=backend,
        **asdict(subject),
        kind=error.kind if error else ErrorKind.CAPACITY,
        reason=said[:MOST_CHARACTERS],
        until=at + blocks.lasts(error),
    )
    BlockedOffer.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=KEY,
        update_fields=("scope", "kind", "reason", "until"),
    )


def of(
    chosen: Collection[Backend],
    *,
    project_id: int | None = None,
    calls_server: bool = True,
    at: datetime,
) -> dict[int, list[blocks.Block]]:
    """Return what is blocked then, by the backend's id, for machines of the project each of which
    `calls_server` itself, or is called by it."""
    unreachable = _unreachable(project_id) if calls_server else []
    found: dict[int, list[blocks.Block]] = {
        backend.pk: []
        if backends.is_standing(backend.kind)
        else [*unreachable, *(_unheard(backend) if calls_server else ())]
        for backend in chosen
    }
    for row in BlockedOffer.objects.filter(backend__in=chosen, until__gt=at).order_by("pk"):
        found[row.backend_id].append(_read(row))
    return found


def is_out_elsewhere(backend: Backend, region: str, *, at: datetime) -> bool:
    """Tell whether another region of it does not answer either, or did not some minutes ago."""
    out = BlockedOffer.objects.filter(
        backend=backend, scope=Scope.REGION, kind=ErrorKind.UNREACHABLE, until__gt=at - STILL_TELLS
    )
    return out.exclude(region=region).exists()


def _unreachable(project_id: int | None) -> list[blocks.Block]:
    """No machine that could not call this server is worth its price, and none is made by a copy."""
    why = identity.why_held() or way_home.why_none(project_id)
    whole = blocks.Subject(Scope.BACKEND)
    return [blocks.Block(whole, ErrorKind.SETUP, why, None)] if why else []


def _unheard(backend: Backend) -> list[blocks.Block]:
    """Nor is the next one, where the last ones never called."""
    why = unheard.why(backend)
    return [blocks.Block(blocks.Subject(Scope.BACKEND), ErrorKind.SETUP, why, None)] if why else []


def _read(row: BlockedOffer) -> blocks.Block:
    subject = blocks.Subject(
        Scope(row.scope), row.region, row.zone, row.family, row.instance_type, row.spot
    )
    return blocks.Block(subject, row.kind, row.reason, row.until)


def lift_quotas(*, backend: Backend, region: str) -> None:
    """Forget that a quota of a region was used up: a machine of ours there has just ended."""
    used_up = BlockedOffer.objects.filter(backend=backend, kind=ErrorKind.QUOTA)
    used_up.filter(region__in=("", region)).delete()


def lift_mended(backend: Backend) -> None:
    """Forget what a person may have mended; what a cloud has not got is as it was."""
    BlockedOffer.objects.filter(backend=backend).exclude(kind=ErrorKind.CAPACITY).delete()


def prune(*, at: datetime) -> int:
    """Forget what is blocked no longer. Return the number of rows."""
    return BlockedOffer.objects.filter(until__lte=at - STILL_TELLS).delete()[0]
