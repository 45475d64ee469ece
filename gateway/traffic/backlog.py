"""Looks that wait to be sent. Pure.

Numbers are sums since the beginning, so two looks merge into one without losing any: what waits is
thinned to one look for each 10 s, and bounded, however long the control plane is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gateway.schema import Counts, Latency, Stats

APART_SECONDS = 10.0
# Ten minutes and some; older ones are merged in pairs.
MOST_LOOKS = 70
# Some hundred kilobytes as JSON.
MOST_ENTRIES = 2000

Entry = TypeVar("Entry", Counts, Latency)


class Backlog:
    """Looks in their order, the first of which may be on its way."""

    def __init__(self) -> None:
        self._looks: list[Stats] = []

    def __len__(self) -> int:
        return len(self._looks)

    @property
    def first(self) -> Stats | None:
        return self._looks[0] if self._looks else None

    def add(self, look: Stats) -> None:
        """This function will put a look behind the others, or into the last one."""
        looks = self._looks
        # The first is left as it is: it may be on its way.
        if len(looks) > 2 and is_near(looks[-2], looks[-1]) and is_same_boot(looks[-1], look):
            look = merge(looks.pop(), look)
        looks.append(look)
        if len(looks) > MOST_LOOKS:
            oldest, second = looks[1:3]
            looks[1:3] = [merge(oldest, second) if is_same_boot(oldest, second) else second]

    def sent(self) -> None:
        """This function will forget the first look."""
        del self._looks[0]


def is_near(one: Stats, next_one: Stats) -> bool:
    return next_one.at - one.at < APART_SECONDS


def is_same_boot(one: Stats, other: Stats) -> bool:
    return one.boot_id == other.boot_id


def merge(old: Stats, new: Stats) -> Stats:
    """This function will make one look of two of the same boot; `new` says what is so now."""
    return new.model_copy(
        update={
            "counts": newest(old.counts, new.counts),
            "latency": newest(old.latency, new.latency),
        }
    )


def parts(look: Stats) -> list[Stats]:
    """This function will cut a look into such as one request carries, each with a sequence of its
    own."""
    count = max(len(look.counts), len(look.latency), 1)
    return [
        look.model_copy(
            update={
                "sequence": look.sequence + number,
                "counts": look.counts[start : start + MOST_ENTRIES],
                "latency": look.latency[start : start + MOST_ENTRIES],
            }
        )
        for number, start in enumerate(range(0, count, MOST_ENTRIES))
    ]


def newest(old: Iterable[Entry], new: Iterable[Entry]) -> list[Entry]:
    found = {identity(each): each for each in old}
    found.update((identity(each), each) for each in new)
    return list(found.values())


def identity(entry: Counts | Latency) -> tuple[str, str]:
    return entry.endpoint, entry.key if isinstance(entry, Counts) else ""
