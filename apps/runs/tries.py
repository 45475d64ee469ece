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
    """An offer that could not be had, and why; `whole` where no other of its backend can be."""

    backend: str
    region: str
    instance: str
    spot: bool
    why: str
    whole: bool = False

    def __str__(self) -> str:
        where = f"{self.backend} {self.region} {self.instance}{' (spot)' if self.spot else ''}"
        return f"{where}: {self.why.rstrip('.')}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "why": self.why[:MOST_CHARACTERS]}

    def rules_out(self, offer: Offer) -> bool:
        if self.whole:
            return self.backend == offer.backend
        mine = (self.backend, self.region, self.instance, self.spot)
        return mine == (offer.backend, offer.region, offer.instance, offer.spot)


def read(stored: Iterable[dict[str, Any]]) -> list[Try]:
    """This function will read what `to_json` gave."""
    return [Try(**each) for each in stored]


def of(offer: Offer, why: str) -> Try:
    """This function will return the try of an offer that has no room."""
    return Try(offer.backend, offer.region, offer.instance, offer.spot, why)


def untried(offers: Iterable[Offer], tries: Sequence[Try]) -> list[Offer]:
    """This function will return the offers that are left, in their order."""
    return [offer for offer in offers if not any(each.rules_out(offer) for each in tries)]


def told(tries: Sequence[Try], silent: Mapping[str, str]) -> str:
    """This function will say what was tried, a sentence for each; `silent` are the backends that
    could not be asked, with the reason."""
    said = [f"{each}." for each in tries[:MOST_TOLD]]
    if more := len(tries) - MOST_TOLD:
        said += [f"And {more} more."] if more > 0 else []
    said += [f"{kind}: {why.rstrip('.')}." for kind, why in silent.items()]
    return " ".join(["No offer could be had.", *said])
