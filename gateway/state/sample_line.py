"""What HAProxy says of an answer at its end, in one line of words, for `gateway.traffic`. Pure.

Nothing of the request's own text is in it. Words that HAProxy does not know are `-`.
"""

from __future__ import annotations

from typing import NamedTuple

UNKNOWN = "-"
# Before the words of a `UsedTokens`.
USED = " used "


class SampleLine(NamedTuple):
    """How long an answer took: five times in ms, then in us to the last and to the first byte."""

    endpoint: str
    weight: str
    total: str
    request: str
    queue: str
    connect: str
    response: str
    # An earlier HAProxy, which still runs after an update, does not say these.
    total_us: str = UNKNOWN
    first_us: str = UNKNOWN


class UsedTokens(NamedTuple):
    """Whose tokens an answer used, and how many."""

    key: str
    tokens_in: str
    tokens_out: str


# In HAProxy's words.
TIMES = SampleLine(
    endpoint="%[var(txn.endpoint)]",
    weight="%[var(txn.weight,1)]",
    total="%Ta",
    request="%TR",
    queue="%Tw",
    connect="%Tc",
    response="%Tr",
    total_us="%[date(0,us),sub(txn.began)]",
    first_us="%[var(txn.first)]",
)
TOKENS = UsedTokens("%[var(txn.key)]", "%[var(txn.tokens_in)]", "%[var(txn.tokens_out)]")


def log_format(*, weight: str = TIMES.weight) -> str:
    """Return the line as HAProxy's `log-format` wants it."""
    return " ".join(TIMES._replace(weight=weight)) + USED + " ".join(TOKENS)
