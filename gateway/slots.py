"""Which slots are for which endpoints. Pure.

Every fourth slot looks into the answers of its replicas for the tokens that a model used, which
others need not pay for. Where one kind is full the other one serves as well: a model's tokens are
not measured then.
"""

from __future__ import annotations

from collections.abc import Collection

from gateway.schema import Endpoint

READING = 4


def reads_usage(slot: int) -> bool:
    """Tell whether a slot looks for tokens. HAProxy's configuration is written by this."""
    return slot % READING == 0


def wants_reading(endpoint: Endpoint) -> bool:
    """Tell whether an endpoint's answers say tokens that nobody else counts."""
    return endpoint.model is not None and endpoint.model.format != "tgi"


class FreeSlots:
    """Slots that nobody has taken, handed out round and round from `next` on."""

    def __init__(self, *, taken: Collection[int], count: int, first: int) -> None:
        self._taken = {slot for slot in taken if 1 <= slot <= count}
        self._count = count
        self.next = first
        reading = sum(map(reads_usage, self._taken))
        of_reading = count // READING
        self._left = {
            True: of_reading - reading,
            False: count - of_reading - (len(self._taken) - reading),
        }

    def has(self, *, reading: bool) -> bool:
        return self._left[reading] > 0

    def take(self, *, reading: bool) -> int:
        """Return a slot, of this kind where there is one; 0 when there is none at all."""
        kind = reading if self.has(reading=reading) else not reading
        if not self.has(reading=kind):
            return 0
        rounds = ((self.next - 1 + step) % self._count + 1 for step in range(self._count))
        slot = next(
            each for each in rounds if each not in self._taken and reads_usage(each) == kind
        )
        self._taken.add(slot)
        self._left[kind] -= 1
        self.next = slot % self._count + 1
        return slot
