"""What HAProxy says of an answer at its end, in one line of words, for `gateway.traffic`. Pure.

The request's own text is in it in base64 alone, so that nothing a caller sends is taken for a word
of ours. Words that HAProxy does not know are `-`.
"""

from __future__ import annotations

from typing import NamedTuple

UNKNOWN = "-"
# Before the words of a `UsedTokens`, and before those of an `AskedRequest`.
USED = " used "
ASKED = " asked "
# Of a path; one byte more tells that it was cut off.
MOST_PATH_BYTES = 200


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
    """Whose tokens an answer used, and how many, where HAProxy's table does not count them."""

    key: str
    tokens_in: str
    tokens_out: str


class AskedRequest(NamedTuple):
    """What was asked, and how it ended: `path` is base64 without the query, `end` HAProxy's two
    letters for who ended it, `server` who answered, or the hold, which kept it for
    `held_seconds` until `served` answered. The tokens are those that the table counts."""

    request_id: str
    method: str
    path: str
    status: str
    end: str
    server: str
    held_seconds: str
    served: str
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
REQUEST = AskedRequest(
    request_id="%[var(txn.request_id)]",
    method="%[var(txn.method)]",
    path=f"%[var(txn.path),bytes(0,{MOST_PATH_BYTES + 1}),ub64enc]",
    status="%ST",
    end="%ts",
    server="%s",
    held_seconds="%[var(txn.held)]",
    served="%[var(txn.served)]",
    tokens_in="%[var(txn.said_in)]",
    tokens_out="%[var(txn.said_out)]",
)


def log_format(*, weight: str = TIMES.weight) -> str:
    """Return the line as HAProxy's `log-format` wants it."""
    times, tokens = " ".join(TIMES._replace(weight=weight)), " ".join(TOKENS)
    return f"{times}{USED}{tokens}{ASKED}{' '.join(REQUEST)}"
