"""Which slots are for which endpoints. Pure.

Every fourth slot looks into the answers of its replicas for the tokens that a model used, which
others need not pay for. These, and every eighth besides, notice at once that a caller has left, so
that a model stops and a turn is given up; they cannot tell that from a caller who has only closed
its sending side, whom all others answer. Where one kind is full another one serves as well: a
model's tokens are not measured then, or who leaves is noticed later.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from gateway.schema import Endpoint


class Kind(Enum):
    READING = "reads tokens, notices who leaves"
    NOTICING = "notices who leaves"
    PLAIN = "answers half-closed callers"


# What a slot's kind is repeats after so many.
ROUND = (
    *(Kind.PLAIN, Kind.PLAIN, Kind.PLAIN, Kind.READING),
    *(Kind.PLAIN, Kind.PLAIN, Kind.NOTICING, Kind.READING),
)
# What serves in the place of a kind that is full.
OTHERS = {
    Kind.READING: (Kind.NOTICING, Kind.PLAIN),
    Kind.NOTICING: (Kind.READING, Kind.PLAIN),
    Kind.PLAIN: (Kind.NOTICING, Kind.READING),
}


def kind_of(slot: int) -> Kind:
    """Tell a slot's kind. HAProxy's configuration is written by this."""
    return ROUND[(slot - 1) % len(ROUND)]


def kind_for(endpoint: Endpoint) -> Kind:
    """Tell which kind of slot an endpoint wants; nobody else counts the tokens of most models."""
    if endpoint.model is not None and endpoint.model.format != "tgi":
        return Kind.READING
    if endpoint.model is not None or endpoint.max_concurrency is not None:
        return Kind.NOTICING
    return Kind.PLAIN


class FreeSlots:
    """Slots that nobody has taken, handed out round and round from `next` on."""

    def __init__(self, *, taken: Collection[int], count: int, first: int) -> None:
        self._taken = {slot for slot in taken if 1 <= slot <= count}
        self._count = count
        self.next = first
        self._left = dict.fromkeys(Kind, 0)
        for slot in range(1, count + 1):
            self._left[kind_of(slot)] += slot not in self._taken

    def has(self, kind: Kind) -> bool:
        return self._left[kind] > 0

    def take(self, wanted: Kind) -> int:
        """Return a slot, of this kind where there is one; 0 when there is none at all."""
        kind = next((each for each in (wanted, *OTHERS[wanted]) if self.has(each)), None)
        if kind is None:
            return 0
        rounds = ((self.next - 1 + step) % self._count + 1 for step in range(self._count))
        slot = next(each for each in rounds if each not in self._taken and kind_of(each) is kind)
        self._taken.add(slot)
        self._left[kind] -= 1
        self.next = slot % self._count + 1
        return slot
