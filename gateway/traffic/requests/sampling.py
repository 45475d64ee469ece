"""Which requests of a second are told one by one, where there are too many. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.traffic.requests.ended import Ended

# Of the room that there is: at most so much for those that failed, then so much for the slowest.
# The others get the rest.
FAILED_SHARE, SLOW_SHARE = 0.5, 0.25


def choose(ended: Sequence[Ended], *, most: int, unseen: int = 0) -> list[tuple[Ended, int]]:
    """Return at most `most` of one endpoint's requests in their order, each with how many it stands
    for; `unseen` more are known only by their number.

    What all stand for adds up to all that there were.
    """
    if most < 1:
        return []
    if len(ended) <= most:
        whole, some = [], list(range(len(ended)))
    else:
        whole = told_anyhow(ended, most=most)
        rest = sorted(set(range(len(ended))).difference(whole))
        some = evenly(rest, most - len(whole))
    told = {*whole, *some}
    left_out = sum(each.weight for place, each in enumerate(ended) if place not in told) + unseen
    more = dict(zip(some, shares(left_out, len(some)), strict=True))
    return [(ended[place], ended[place].weight + more.get(place, 0)) for place in sorted(told)]


def told_anyhow(ended: Sequence[Ended], *, most: int) -> list[int]:
    """Return the places of those that failed and of the slowest, as far as both have room."""
    failed = [place for place, each in enumerate(ended) if each.has_failed]
    failed = evenly(failed, int(most * FAILED_SHARE))
    others = set(range(len(ended))).difference(failed)
    slowest = sorted(others, key=lambda place: (-ended[place].total_ms, place))
    return [*failed, *slowest[: int(most * SLOW_SHARE)]]


def evenly(places: Sequence[int], most: int) -> list[int]:
    """Return `most` of the places, as far apart as can be."""
    if len(places) <= most:
        return list(places)
    return [places[number * len(places) // most] for number in range(most)]


def shares(total: int, count: int) -> list[int]:
    """Cut a number into `count` that differ by 1 at most."""
    return [total * (each + 1) // count - total * each // count for each in range(count)]
