"""Scrapes that wait to be sent. Pure.

Numbers are sums since the beginning, so two scrapes merge into one without losing any; of events it
has the newest. What waits is thinned to one scrape for each 10 s, and bounded, however long the
control plane is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gateway.schema import Counts, Latency, Stats

APART_SECONDS = 10.0
# Ten minutes and some; older ones are merged in pairs.
MOST_SCRAPES = 70
# Some hundred kilobytes as JSON.
MOST_ENTRIES = 2000
MOST_UNANSWERED = 100
# Of a merged scrape, and how many of the newest scrapes keep theirs: some megabytes.
MOST_REQUESTS = 500
SCRAPES_WITH_REQUESTS = 6

Entry = TypeVar("Entry", Counts, Latency)


class Backlog:
    """Scrapes in their order, the first of which may be on its way."""

    def __init__(self) -> None:
        self._scrapes: list[Stats] = []

    def __len__(self) -> int:
        return len(self._scrapes)

    @property
    def first(self) -> Stats | None:
        return self._scrapes[0] if self._scrapes else None

    def add(self, scrape: Stats) -> None:
        """Put a scrape behind the others, or into the last one."""
        scrapes = self._scrapes
        # The first is left as it is: it may be on its way.
        if (
            len(scrapes) > 2
            and is_near(scrapes[-2], scrapes[-1])
            and is_same_boot(scrapes[-1], scrape)
        ):
            scrape = merge(scrapes.pop(), scrape)
        scrapes.append(scrape)
        if len(scrapes) > SCRAPES_WITH_REQUESTS:
            old = scrapes[-SCRAPES_WITH_REQUESTS]
            scrapes[-SCRAPES_WITH_REQUESTS] = old.model_copy(update={"requests": []})
        if len(scrapes) > MOST_SCRAPES:
            oldest, second = scrapes[1:3]
            scrapes[1:3] = [merge(oldest, second) if is_same_boot(oldest, second) else second]

    def sent(self) -> None:
        """Forget the first scrape."""
        del self._scrapes[0]


def is_near(one: Stats, next_one: Stats) -> bool:
    return next_one.at - one.at < APART_SECONDS


def is_same_boot(one: Stats, other: Stats) -> bool:
    return one.boot_id == other.boot_id


def merge(old: Stats, new: Stats) -> Stats:
    """Make one scrape of two of the same boot; `new` says what is so now."""
    return new.model_copy(
        update={
            "counts": newest(old.counts, new.counts),
            "latency": newest(old.latency, new.latency),
            "unanswered": [*old.unanswered, *new.unanswered][-MOST_UNANSWERED:],
            "requests": [*old.requests, *new.requests][-MOST_REQUESTS:],
        }
    )


def parts(scrape: Stats) -> list[Stats]:
    """Cut a scrape into such as one request carries, each with a sequence of its own."""
    count = max(len(scrape.counts), len(scrape.latency), 1)
    return [
        scrape.model_copy(
            update={
                "sequence": scrape.sequence + number,
                "counts": scrape.counts[start : start + MOST_ENTRIES],
                "latency": scrape.latency[start : start + MOST_ENTRIES],
                "unanswered": [] if number else scrape.unanswered,
                "requests": [] if number else scrape.requests,
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
