"""What a refusal of a backend says of offers, how long, and whether it holds for one. Pure.

A refusal and a machine that a cloud took back are the same signal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.backends.base import ErrorKind, Offer, ProviderError, Scope

# Where the provider did not say. A person mends a set-up within minutes, and is not to wait then.
LASTS = {
    ErrorKind.CAPACITY: timedelta(minutes=3),
    ErrorKind.QUOTA: timedelta(hours=1),
    ErrorKind.REFUSED: timedelta(minutes=10),
    ErrorKind.SETUP: timedelta(minutes=2),
    ErrorKind.CREDENTIALS: timedelta(minutes=2),
}


@dataclass(frozen=True)
class Subject:
    """What is blocked: all offers that have what is given; "" and None stand for any."""

    scope: Scope
    region: str = ""
    zone: str = ""
    family: str = ""
    instance_type: str = ""
    spot: bool | None = None


@dataclass(frozen=True)
class Block:
    subject: Subject
    kind: str
    reason: str
    until: datetime


def subject(offer: Offer, error: ProviderError | None, *, family: str, zone: str) -> Subject | None:
    """Return what is blocked by an error about an offer, None where nothing is.

    Without an error the machine did not boot or was taken back: that holds for its zone.
    """
    if error is None:
        scope = Scope.OFFER_ZONE
    elif error.is_passing:
        return None
    else:
        scope = Scope.BACKEND if error.is_of_backend else error.scope
    if scope is Scope.OFFER_ZONE and not zone:
        scope = Scope.OFFER_REGION
    match scope:
        case Scope.OFFER_ZONE:
            return Subject(scope, offer.region, zone, "", offer.instance, offer.spot)
        case Scope.OFFER_REGION:
            return Subject(scope, offer.region, instance_type=offer.instance, spot=offer.spot)
        case Scope.FAMILY_REGION:
            return Subject(scope, offer.region, family=family, spot=offer.spot)
        case Scope.SPOT_REGION:
            return Subject(scope, offer.region, spot=True)
    return Subject(Scope.BACKEND)


def lasts(error: ProviderError | None) -> timedelta:
    """Return how long an error is likely to hold."""
    if error is not None and error.is_fault_of_setup:
        return LASTS[error.kind]
    known = error and (error.lifetime or LASTS.get(error.kind))
    return known or LASTS[ErrorKind.CAPACITY]


def holding(blocks: Iterable[Block], offer: Offer, *, family: str) -> Block | None:
    """Return the block that keeps an offer away the longest, None where none does.

    Those of single zones do once there is no zone left; of an offer whose zones are not known they
    say nothing.
    """
    about = [block for block in blocks if _is_about(block.subject, offer, family)]
    whole = [block for block in about if not block.subject.zone]
    if not whole and offer.zones and not open_zones(about, offer):
        # It is open again as soon as one of them is.
        return min(about, key=lambda block: block.until)
    return max(whole, key=lambda block: block.until, default=None)


def open_zones(blocks: Iterable[Block], offer: Offer) -> tuple[str, ...]:
    """Return the zones of an offer in which it is not blocked."""
    family = ""  # Blocks of a family are of no zone.
    shut = {each.subject.zone for each in blocks if _is_about(each.subject, offer, family)}
    return tuple(zone for zone in offer.zones if zone not in shut)


def _is_about(subject: Subject, offer: Offer, family: str) -> bool:
    return (
        subject.region in ("", offer.region)
        and subject.family in ("", family)
        and subject.instance_type in ("", offer.instance)
        and subject.spot in (None, offer.spot)
    )
