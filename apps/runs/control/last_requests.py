"""Which requests a replica was answering when its process ended. Pure.

A gateway says when a replica closed a request's connection without an answer, an agent when the
process ended; what lies near enough together belongs together, whoever is heard first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

# The kernel closes a process's connections when it ends. Both times are of a clock each, and a
# server that closes its connections first may need a while to end.
BEFORE_SECONDS, AFTER_SECONDS = 1, 3
# A second replica is asked at once; it may take a while before it ends, too.
SENT_AGAIN_SECONDS = 30
# Of each replica, the newest.
MOST_KEPT = 20
MOST_NAMED = 3
MOST_METHOD, MOST_PATH = 16, 200


@dataclass(frozen=True, order=True)
class Request:
    """A request that was not answered; `closed_at` in seconds since 1970, by the gateway."""

    closed_at: float
    method: str
    path: str


def request(closed_at: float, method: str, path: str) -> Request:
    """Make one of what a gateway says, in visible ASCII and not too long: a caller chose it."""
    return Request(closed_at, visible(method)[:MOST_METHOD], visible(path)[:MOST_PATH])


def visible(text: str) -> str:
    return "".join(char for char in text if "!" <= char <= "~")


def kept(known: Iterable[Request], said: Iterable[Request]) -> list[Request]:
    """Return the newest of both, oldest first; what was said twice is one."""
    return sorted({*known, *said})[-MOST_KEPT:]


def unfinished(requests: Iterable[Request], *, exited_at: datetime) -> list[Request]:
    """Return those whose connections closed with the process."""
    end = exited_at.timestamp()
    earliest, latest = end - AFTER_SECONDS, end + BEFORE_SECONDS
    return [each for each in requests if earliest <= each.closed_at <= latest]


def sent_again(requests: Iterable[Request], elsewhere: Iterable[Request]) -> bool:
    """Tell whether one of these came here after another replica had closed it without an answer.

    The gateway asks one more replica where a method may be repeated (see `unanswered.lua`).
    """
    before = list(elsewhere)
    return any(
        0 <= each.closed_at - other.closed_at <= SENT_AGAIN_SECONDS
        for each in requests
        for other in before
        if (each.method, each.path) == (other.method, other.path) and each != other
    )


def sentence(requests: Sequence[Request]) -> str:
    """Say what was being answered; empty where there was nothing."""
    names = list(dict.fromkeys(f"{each.method} {each.path}" for each in requests))
    more = len(names) - MOST_NAMED
    named = [*names[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    if not named:
        return ""
    *first, last = named
    before = f"{', '.join(first)} and " if first else ""
    return f"exited while it answered {before}{last}"
