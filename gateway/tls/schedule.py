"""When a certificate is ordered: first, again after failures, and to renew. Pure.

Times are in seconds since 1970. Authorities bound failures for each host by the hour and orders of
an account by three hours, so both are remembered over restarts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

RENEWED_AT_SHARE = 2 / 3
# Certificates of one day must not all come due in the same minute.
JITTER_SHARE = 0.05
FIRST_PAUSE_SECONDS = 60.0
PAUSE_FACTOR = 5.0
LONGEST_PAUSE_SECONDS = 12 * 3600.0
MOST_STARTS = 200
STARTS_WINDOW_SECONDS = 3 * 3600.0


def renew_at(*, host: str, not_before: float, not_after: float) -> float:
    """This function will tell when to renew: after two thirds of the lifetime, give or take."""
    lifetime = not_after - not_before
    # Of the name, not by chance: the same after each restart.
    luck = int.from_bytes(hashlib.sha256(host.encode()).digest()[:4], "big") / 2**32
    return not_before + lifetime * (RENEWED_AT_SHARE + JITTER_SHARE * (2 * luck - 1))


def pause_seconds(*, failures: int, luck: float) -> float:
    """This function will tell how long to wait after so many failures; `luck` is from 0 to 1."""
    pause = FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (min(failures, 20) - 1)
    return min(pause, LONGEST_PAUSE_SECONDS) * (0.8 + 0.4 * luck)


def recent(starts: Sequence[float], *, now: float) -> list[float]:
    """This function will leave out what no longer counts; a clock put back counts as now."""
    return [min(at, now) for at in starts if at > now - STARTS_WINDOW_SECONDS]


def may_start_at(starts: Sequence[float], *, now: float) -> float:
    """This function will tell when the next order may begin."""
    counted = sorted(recent(starts, now=now))
    if len(counted) < MOST_STARTS:
        return now
    return counted[-MOST_STARTS] + STARTS_WINDOW_SECONDS
