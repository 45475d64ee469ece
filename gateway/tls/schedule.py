"""When a certificate is ordered: first, again after failures, and to renew. Pure.

Times are in seconds since 1970. Authorities bound failures for each host by the hour and orders of
an account by three hours, so both are remembered over restarts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from gateway.backoff import Backoff

RENEWED_AT_SHARE = 2 / 3
# Certificates of one day must not all come due in the same minute.
JITTER_SHARE = 0.05
BACKOFF = Backoff(first_seconds=60.0, longest_seconds=12 * 3600.0, factor=5.0, jitter=0.2)
MOST_STARTS = 200
STARTS_WINDOW_SECONDS = 3 * 3600.0


def renew_at(*, host: str, not_before: float, not_after: float) -> float:
    """Tell when to renew: after two thirds of the lifetime, give or take."""
    lifetime = not_after - not_before
    # Of the name, not by chance: the same after each restart.
    jitter = int.from_bytes(hashlib.sha256(host.encode()).digest()[:4], "big") / 2**32
    return not_before + lifetime * (RENEWED_AT_SHARE + JITTER_SHARE * (2 * jitter - 1))


def recent(starts: Sequence[float], *, now: float) -> list[float]:
    """Leave out what no longer counts; a clock put back counts as now."""
    return [min(at, now) for at in starts if at > now - STARTS_WINDOW_SECONDS]


def may_start_at(starts: Sequence[float], *, now: float) -> float:
    """Tell when the next order may begin."""
    counted = sorted(recent(starts, now=now))
    if len(counted) < MOST_STARTS:
        return now
    return counted[-MOST_STARTS] + STARTS_WINDOW_SECONDS
