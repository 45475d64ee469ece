"""Rate limits as HAProxy's rules read them from its maps. Pure.

GCRA: each counter remembers the moment at which it would be idle again. A request moves that moment
on by one interval; one that comes while it lies further ahead than the tolerance is refused. With
`rps` 10 and `burst` 5 six requests may come at once, then one each 100 ms.

A limit of a service is `INTERVAL_US:TOLERANCE_US:COUNTER:HEADER`, COUNTER being made of prefix and
pace, so that what a caller has used up stays used up when other limits change. A key's has two
fields. A limit that changes counts anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from gateway.schema import Endpoint, Key

SECOND_US = 1_000_000


def of_endpoints(endpoints: Iterable[Endpoint]) -> Iterator[tuple[str, str]]:
    """This function will write `ENDPOINT:PREFIX` and value of each limit."""
    for endpoint in endpoints:
        for limit in endpoint.rate_limits:
            pace = interval_and_tolerance(limit.rps, limit.burst)
            counter = hashlib.sha256(f"{pace} {limit.prefix}".encode()).hexdigest()[:12]
            yield f"{endpoint.id}:{limit.prefix}", f"{pace}:{counter}:{limit.header}"


def of_key(key: Key) -> str | None:
    """This function will write what a key may ask of all services together; None: no bound."""
    return None if key.rps is None else interval_and_tolerance(key.rps, key.burst)


def interval_and_tolerance(rps: float, burst: int) -> str:
    interval_us = max(round(SECOND_US / rps), 1)
    return f"{interval_us}:{interval_us * burst}"
