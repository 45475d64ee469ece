"""Rate limits as HAProxy's rules read them from its maps. Pure.

GCRA: each counter remembers the moment at which it would be idle again. A request moves that moment
on by one interval; one that comes while it lies further ahead than the tolerance is refused. With
`rps` 10 and `burst` 5 six requests may come at once, then one each 100 ms.

A limit of a service is `INTERVAL_US:TOLERANCE_US:ANEW_US:COUNTER:HEADER`, COUNTER being made of
prefix and pace, so that what a caller has used up stays used up when other limits change. A key's
has three fields. A limit that changes counts anew, and so does one that is further ahead than ANEW:
no request brings it there, so the clock must have been set back, or has come round.

HAProxy reckons on a clock that comes round after 12.7 days, so a burst is worth ten days of the
rate at most: 14,400 requests at one a minute.

What a caller has used up is in HAProxy's memory, and copied from there for the next HAProxy: see
`gateway.traffic.charges`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.schema import Endpoint, Key

SECOND_US = 1_000_000
MOST_TOLERANCE_US = 10 * 86_400 * SECOND_US
SET_BACK_US = 60 * SECOND_US
# Of the clock in limits.cfg, and of the starts that are kept on it.
ROUND_US = 2**40
START_STEP_US = 256


class Charge(NamedTuple):
    """A row of HAProxy's table `limits`: requests charged since `start`, in steps of 256 us."""

    requests: int
    start: int


def of_endpoints(endpoints: Iterable[Endpoint]) -> Iterator[tuple[str, str]]:
    """This function will write `ENDPOINT:PREFIX` and value of each limit."""
    for endpoint in endpoints:
        for limit in endpoint.rate_limits:
            its_pace = pace(limit.rps, limit.burst)
            counter = hashlib.sha256(f"{its_pace} {limit.prefix}".encode()).hexdigest()[:12]
            yield f"{endpoint.id}:{limit.prefix}", f"{its_pace}:{counter}:{limit.header}"


def of_key(key: Key) -> str | None:
    """This function will write what a key may ask of all services together; None: no bound."""
    return None if key.rps is None else pace(key.rps, key.burst)


def pace(rps: float, burst: int) -> str:
    """This function will write interval, tolerance, and from when on a counter starts anew."""
    interval_us = max(round(SECOND_US / rps), 1)
    tolerance_us = min(interval_us * burst, MOST_TOLERANCE_US)
    return f"{interval_us}:{tolerance_us}:{tolerance_us + interval_us + SET_BACK_US}"


def paces(endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """This function will write the pace of each counter, by `ENDPOINT:COUNTER`."""
    found = {}
    for endpoint in endpoints:
        for _, value in of_endpoints([endpoint]):
            interval, tolerance, anew, counter, _ = value.split(":", 4)
            found[f"{endpoint.id}:{counter}"] = f"{interval}:{tolerance}:{anew}"
    return found


def pace_of(name: str, known: Mapping[str, str]) -> str | None:
    """This function will find the pace of a row: `ENDPOINT:COUNTER:WHO`, or `KEY:PACE` itself."""
    head, _, rest = name.partition(":")
    counter = rest.partition(":")[0]
    if found := known.get(f"{head}:{counter}"):
        return found
    fields = rest.split(":")
    return rest if len(fields) == 3 and all(each.isdecimal() for each in fields) else None


def ahead_us(charge: Charge, its_pace: str, *, now_us: int) -> int | None:
    """This function will tell in how many us after `now_us` (since 1970) a row will be idle.

    None: it is already, and as good as no row.
    """
    interval_us, _, anew_us = map(int, its_pace.split(":"))
    idle_again_us = charge.start * START_STEP_US + interval_us * charge.requests
    # What lies behind is almost a round ahead.
    ahead = (idle_again_us - now_us) % ROUND_US
    return None if ahead > anew_us else ahead
