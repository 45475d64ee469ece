"""Rate limits as HAProxy's rules read them from its maps. Pure.

GCRA: each counter remembers the moment at which it would be idle again. A request moves that moment
on by one interval; one that comes while it lies further ahead than the tolerance is refused. With
`rps` 10 and `burst` 5 six requests may come at once, then one each 100 ms.

A service's limit is a `Limit`, whose counter is made of prefix and pace, so that what a caller has
used up stays used up when other limits change; a key's is a `Pace`. A limit that changes counts
anew, and so does one that is further ahead than `anew_us`: no request brings it there, so the clock
must have been set back, or has come round.

HAProxy reckons on a clock that comes round after 12.7 days, so a burst is worth ten days of the
rate at most: 14,400 requests at one a minute.

What a caller has used up is in HAProxy's memory, and copied from there for the next HAProxy: see
`gateway.traffic.rate_limit_snapshot`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.schema import Endpoint, Key
from gateway.state import records
from gateway.state.records import Limit, Pace

SECOND_US = 1_000_000
MOST_TOLERANCE_US = 10 * 86_400 * SECOND_US
SET_BACK_US = 60 * SECOND_US
# Of the clock in charge.cfg, and of the starts that are kept on it.
ROUND_US = 2**40
START_STEP_US = 256


class Charge(NamedTuple):
    """A row of HAProxy's table `limits`: requests charged since `start`, in steps of 256 us."""

    requests: int
    start: int


def of_endpoints(endpoints: Iterable[Endpoint]) -> Iterator[tuple[str, str]]:
    """Write `ENDPOINT:PREFIX` and value of each limit."""
    for endpoint in endpoints:
        for limit in endpoint.rate_limits:
            its_pace = pace(limit.rps, limit.burst)
            counter = hashlib.sha256(f"{its_pace} {limit.prefix}".encode()).hexdigest()[:12]
            value = Limit(*records.read(Pace, its_pace), counter, limit.header)
            yield f"{endpoint.id}:{limit.prefix}", records.write(value)


def of_key(key: Key) -> str | None:
    """Write what a key may ask of all services together; None: no bound."""
    return None if key.rps is None else pace(key.rps, key.burst)


def pace(rps: float, burst: int) -> str:
    """Write how a counter moves, as a `Pace`."""
    interval_us = max(round(SECOND_US / rps), 1)
    tolerance_us = min(interval_us * burst, MOST_TOLERANCE_US)
    return records.write(Pace(interval_us, tolerance_us, tolerance_us + interval_us + SET_BACK_US))


def paces(endpoints: Iterable[Endpoint]) -> dict[str, str]:
    """Write the pace of each counter, by `ENDPOINT:COUNTER`."""
    found = {}
    for endpoint in endpoints:
        for _, value in of_endpoints([endpoint]):
            limit = records.read(Limit, value)
            its_pace = Pace(limit.interval_us, limit.tolerance_us, limit.anew_us)
            found[f"{endpoint.id}:{limit.counter}"] = records.write(its_pace)
    return found


def pace_of(name: str, known: Mapping[str, str]) -> str | None:
    """Find the pace of a row: `ENDPOINT:COUNTER:WHO`, or `KEY:PACE` itself."""
    head, _, rest = name.partition(":")
    counter = rest.partition(":")[0]
    if found := known.get(f"{head}:{counter}"):
        return found
    fields = rest.split(":")
    is_pace = len(fields) == len(Pace._fields) and all(each.isdecimal() for each in fields)
    return rest if is_pace else None


def ahead_us(charge: Charge, its_pace: str, *, now_us: int) -> int | None:
    """Tell in how many us after `now_us` (since 1970) a row will be idle.

    None: it is already, and as good as no row.
    """
    interval_us, _, anew_us = map(int, records.read(Pace, its_pace))
    idle_again_us = charge.start * START_STEP_US + interval_us * charge.requests
    # What lies behind is almost a round ahead.
    ahead = (idle_again_us - now_us) % ROUND_US
    return None if ahead > anew_us else ahead
