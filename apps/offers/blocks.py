"""What a refusal of a backend says of offers, how long, and whether it holds for one. Pure.

A refusal and a machine that a cloud took back are the same signal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.backends.base import ErrorKind, Offer, ProviderError, Scope

# Where the provider did not say. A person mends a set-up within minutes, and is not to wait then.
LASTS = {
    ErrorKind.CAPACITY: timedelta(minutes=3),
    ErrorKind.QUOTA: timedelta(hours=1),
    ErrorKind.REFUSED: timedelta(minutes=10),
    ErrorKind.SETUP: timedelta(minutes=2),
    ErrorKind.CREDENTIALS: timedelta(minutes=2),
    # Where it was asked again and again before: an outage.
    ErrorKind.UNREACHABLE: timedelta(minutes=3),
}
OUT = (ErrorKind.SETUP, ErrorKind.CREDENTIALS, ErrorKind.UNREACHABLE)


# Nobody reads more sentences than these.
MOST_TOLD = 3


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
    """`until` is None where it lasts until a person has mended the server."""

    subject: Subject
    kind: str
    reason: str
    until: datetime | None

    @property
    def is_fault_of_setup(self) -> bool:
        return self.kind in (ErrorKind.SETUP, ErrorKind.CREDENTIALS)

    @property
    def is_of_backend(self) -> bool:
        """Whether nothing of its backend can be had, other than for want of room."""
        return self.subject.scope is Scope.BACKEND and self.kind in OUT

    @property
    def is_of_region(self) -> bool:
        return self.subject.scope is Scope.REGION and self.kind in OUT


def subject(offer: Offer, error: ProviderError | None, *, family: str, zone: str) -> Subject | None:
    """Return what is blocked by an error about an offer, None where nothing is.

    Without an error the machine did not boot or was taken back: that holds for its zone.
    """
    if error is not None and error.is_passing and not is_outage(error):
        return None
    match _scope(error, zone):
        case Scope.OFFER_ZONE as scope:
            return Subject(scope, offer.region, zone, "", offer.instance, offer.spot)
        case Scope.OFFER_REGION as scope:
            return Subject(scope, offer.region, instance_type=offer.instance, spot=offer.spot)
        case Scope.FAMILY_REGION as scope:
            return Subject(scope, offer.region, family=family, spot=offer.spot)
        case Scope.SPOT_REGION as scope:
            return Subject(scope, offer.region, spot=True)
        case Scope.REGION as scope:
            return Subject(scope, offer.region)
    return Subject(Scope.BACKEND)


def _scope(error: ProviderError | None, zone: str) -> Scope:
    if error is not None and error.is_of_backend:
        return Scope.BACKEND
    scope = Scope.OFFER_ZONE if error is None else error.scope
    return Scope.OFFER_REGION if scope is Scope.OFFER_ZONE and not zone else scope


def is_outage(error: ProviderError) -> bool:
    """Tell whether a region, or its whole cloud, was asked in vain until it was given up."""
    return error.kind is ErrorKind.UNREACHABLE and error.scope in (Scope.REGION, Scope.BACKEND)


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
        return min(about, key=_over)
    return max(whole, key=_over, default=None)


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


def _over(block: Block) -> datetime:
    return block.until or datetime.max.replace(tzinfo=UTC)


def where(block: Block) -> str:
    """Say where a backend cannot be used: in one region, or for spot machines of it alone."""
    subject = block.subject
    spot = " for spot machines" if subject.scope is Scope.SPOT_REGION else ""
    return f"{spot} in {subject.region}" if subject.region else spot


def until(block: Block) -> str:
    return f" (until {block.until:%H:%M} UTC)" if block.until else ""


def sentence(
    shut: Sequence[tuple[Offer, Block]], *, count: int, broken: Mapping[str, Block], only: bool
) -> str:
    """Say which offers are blocked, `count` in all: each reason once, at the cheapest that it keeps
    away. What a person has to mend is said to be that. `only` where no other offer fits."""
    offers = "1 offer that fits is" if count == 1 else f"{count:,} offers that fit are"
    said = [f"No offer is free now: {offers} blocked." if only else f"{offers} blocked for now."]
    about = {offer.backend for offer, _ in shut}
    said += [
        f"Backend {name} cannot be used: {each.reason.rstrip('.')}{until(each)}."
        for name, each in broken.items()
        if name in about
    ]
    first = {block: offer for offer, block in reversed(shut) if offer.backend not in broken}
    for block, offer in list(reversed(first.items()))[:MOST_TOLD]:
        where = f"{offer.backend} {offer.region}"
        if block.subject.scope is not Scope.REGION:
            where += f" {offer.instance}{' (spot)' if offer.spot else ''}"
        said.append(f"{where}: {block.reason.rstrip('.')}{until(block)}.")
    return " ".join(said)
