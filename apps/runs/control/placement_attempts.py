"""Offers that a replica could not get: which to take next, and what to say in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.backends.base import Offer, Scope
from apps.offers.blocks import Block

# Nobody reads more sentences than these.
MOST_TOLD = 10
MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Attempt:
    """An offer that could not be had, and why; without an `instance` no other of its region can be.

    `whole`: what is in the way is no want of room, and holds for the region or, with an `instance`,
    for the whole backend. `gpu` is the kind of GPUs that were taken, where the machine may have
    others.
    """

    backend: str
    region: str
    instance: str
    spot: bool
    why: str
    whole: bool = False
    gpu: str = ""

    def __str__(self) -> str:
        where = " ".join(filter(None, [self.backend, self.region, self.instance]))
        where += " (spot)" if self.spot and self.instance else ""
        return f"{where}: {self.why.rstrip('.')}"

    def to_json(self) -> dict[str, Any]:
        kept = {**asdict(self), "why": self.why[:MOST_CHARACTERS]}
        return kept if self.gpu else {key: kept[key] for key in kept if key != "gpu"}

    def rules_out(self, offer: Offer) -> bool:
        if not self.instance:
            return (self.backend, self.region) == (offer.backend, offer.region)
        if self.whole:
            return self.backend == offer.backend
        if self.gpu and (offer.hardware.gpu is None or offer.hardware.gpu.name != self.gpu):
            return False
        mine = (self.backend, self.region, self.instance, self.spot)
        return mine == (offer.backend, offer.region, offer.instance, offer.spot)


def read(stored: Iterable[dict[str, Any]]) -> list[Attempt]:
    """Read what `to_json` gave."""
    return [Attempt(**each) for each in stored]


def of(offer: Offer, why: str) -> Attempt:
    """Return the attempt at an offer that has no room."""
    gpu = offer.hardware.gpu.name if offer.hardware.gpu else ""
    return Attempt(offer.backend, offer.region, offer.instance, offer.spot, why, gpu=gpu)


def untried(offers: Iterable[Offer], attempts: Sequence[Attempt]) -> Iterator[Offer]:
    """Return the offers that are left, in their order, read no further than they are needed."""
    return (offer for offer in offers if not is_tried(offer, attempts))


def is_tried(offer: Offer, attempts: Sequence[Attempt]) -> bool:
    return any(each.rules_out(offer) for each in attempts)


def blocked(
    seen: Iterable[tuple[Offer, Block | None]], attempts: Sequence[Attempt]
) -> list[Attempt]:
    """Return what was not tried since others were refused the same, as if it had been."""
    found: list[Attempt] = []
    for offer, block in seen:
        if block is not None and not is_tried(offer, [*attempts, *found]):
            name = "" if block.subject.scope is Scope.REGION else offer.instance
            whole = block.is_of_backend or block.is_of_region
            spot = offer.spot and bool(name)
            where = (offer.backend, offer.region, name, spot)
            found.append(Attempt(*where, why=block.reason, whole=whole))
    return found


def told(attempts: Sequence[Attempt], unavailable: Mapping[str, str]) -> str:
    """Say what was tried, a sentence for each; `unavailable` are the backends that could not be
    asked, with the reason. Where a backend does not work, that is no matter of offers."""
    broken = {_out(each): each.why for each in attempts if each.whole}
    broken |= {f"{name} cannot be used": why for name, why in unavailable.items()}
    tried = [each for each in attempts if not each.whole]
    said = ["No offer could be had."] if tried else []
    said += [f"{each}." for each in tried[:MOST_TOLD]]
    if more := len(tried) - MOST_TOLD:
        said += [f"And {more} more."] if more > 0 else []
    out = [f"Backend {what}: {why.rstrip('.')}." for what, why in broken.items()]
    said += out[:MOST_TOLD]
    if more := len(out) - MOST_TOLD:
        said += [f"And {more} more cannot be used."] if more > 0 else []
    return " ".join(said)


def _out(attempt: Attempt) -> str:
    said = f"{attempt.backend} cannot be used"
    return said if attempt.instance else f"{said} in {attempt.region}"


def is_broken(attempts: Sequence[Attempt]) -> bool:
    """Tell whether nothing was tried but backends that do not work."""
    return bool(attempts) and all(each.whole for each in attempts)
