"""Offers that a replica could not get: which to take next, and what to say in the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from apps.backends.base import Offer

# Nobody reads more sentences than these.
MOST_TOLD = 10
MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Try:
    """An offer that could not be had, and why; `whole` where no other of its backend can be.

    `gpu` is the kind of GPUs that were taken, where the machine may have others.
    """

    backend: str
    region: str
    instance: str
    spot: bool
    why: str
    whole: bool = False
    gpu: str = ""

    def __str__(self) -> str:
        where = f"{self.backend} {self.region} {self.instance}{' (spot)' if self.spot else ''}"
        return f"{where}: {self.why.rstrip('.')}"

    def to_json(self) -> dict[str, Any]:
        kept = {**asdict(self), "why": self.why[:MOST_CHARACTERS]}
        return kept if self.gpu else {key: kept[key] for key in kept if key != "gpu"}

    def rules_out(self, offer: Offer) -> bool:
        if self.whole:
            return self.backend == offer.backend
        if self.gpu and (offer.hardware.gpu is None or offer.hardware.gpu.name != self.gpu):
            return False
        mine = (self.backend, self.region, self.instance, self.spot)
        return mine == (offer.backend, offer.region, offer.instance, offer.spot)


def read(stored: Iterable[dict[str, Any]]) -> list[Try]:
    """Read what `to_json` gave."""
    return [Try(**each) for each in stored]


def of(offer: Offer, why: str) -> Try:
    """Return the try of an offer that has no room."""
    gpu = offer.hardware.gpu.name if offer.hardware.gpu else ""
    return Try(offer.backend, offer.region, offer.instance, offer.spot, why, gpu=gpu)


def untried(offers: Iterable[Offer], tries: Sequence[Try]) -> list[Offer]:
    """Return the offers that are left, in their order."""
    return [offer for offer in offers if not any(each.rules_out(offer) for each in tries)]


def told(tries: Sequence[Try], silent: Mapping[str, str]) -> str:
    """Say what was tried, a sentence for each; `silent` are the backends that
    could not be asked, with the reason."""
    said = [f"{each}." for each in tries[:MOST_TOLD]]
    if more := len(tries) - MOST_TOLD:
        said += [f"And {more} more."] if more > 0 else []
    said += [f"{kind}: {why.rstrip('.')}." for kind, why in silent.items()]
    return " ".join(["No offer could be had.", *said])
