"""Records: what Python and HAProxy's rules tell each other in one text of several fields. Pure.

A field's name and place are said here alone. Python writes and reads records by these classes; a
rule names a field, as in `{route.endpoint}`, and `gateway.haproxy.template` puts HAProxy's words
for it there. Fields are parted by colons, which only a last one may hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

Field = str | int


class Route(NamedTuple):
    """Where a host or a path leads: all that a request must know, in one look-up."""

    slot: Field
    auth: Field
    project: Field
    endpoint: Field
    strip: Field
    limited: Field
    # Where it has no replica, and its slot does not notice who leaves.
    asleep: Field = ""


class ModelRoute(NamedTuple):
    """Where a model leads; what all routes say stands where it does in theirs."""

    slot: Field
    auth: Field
    project: Field
    endpoint: Field
    format: Field
    limited: Field
    # Of the API's paths, as a user wrote it.
    prefix: Field


class Pace(NamedTuple):
    """How a counter of a rate limit moves; see `gateway.state.limits`."""

    interval_us: Field
    tolerance_us: Field
    anew_us: Field


class Limit(NamedTuple):
    """A service's limit: its pace, its counter, and the header that says who is counted."""

    interval_us: Field
    tolerance_us: Field
    anew_us: Field
    counter: Field
    header: Field


class ToHold(NamedTuple):
    """What HAProxy tells the hold of a request; see `gateway.hold.proxy_header`."""

    slot: Field
    number: Field
    attempt: Field
    idempotency_key: Field = ""


class FromHold(NamedTuple):
    """What the hold says when it hands a request back."""

    slot: Field
    seconds: Field
    attempt: Field
    number: Field


class Used(NamedTuple):
    """Tokens that a short answer says; written by usage.lua."""

    tokens_in: Field
    tokens_out: Field


# In names of grants, between whose right it is and the key.
GRANT_OF_PROJECT, GRANT_OF_ENDPOINT = ":p:", ":e:"
# Counts of the table `counts`, by their place: answers by class, and those that said their tokens.
COUNTS = ("1xx", "2xx", "3xx", "4xx", "5xx", "said")
TOKENS = ("tokens_in", "tokens_out")

R = TypeVar("R", bound=NamedTuple)


def write(record: NamedTuple) -> str:
    """Return a record's text, without a last field that may be missing and is."""
    is_short = bool(record._field_defaults) and record[-1] == ""
    return ":".join(map(str, record[:-1] if is_short else record))


def read(kind: type[R], text: str) -> R:
    """Return a record of this kind; raises TypeError where it has fewer fields."""
    return kind._make(text.split(":", len(kind._fields) - 1))


@dataclass(frozen=True)
class Place:
    """Where the rules find records of a kind: by a name of ours, in words of HAProxy's."""

    name: str
    kind: type[NamedTuple]
    holder: str
    has_colons: str = ""

    def fields(self) -> Iterator[tuple[str, str]]:
        """Name each field, with the words by which HAProxy cuts it out."""
        for place, field in enumerate(self.kind._fields, start=1):
            rest = ",0" if field == self.has_colons else ""
            yield f"{self.name}.{field}", f"{self.holder},field({place},:{rest})"


PLACES = (
    Place("route", Route, "var(txn.route)"),
    Place("model", ModelRoute, "var(txn.route)", has_colons="prefix"),
    Place("limit", Limit, "var(req.limit)"),
    Place("bound", Pace, "var(req.bound)"),
    Place("from_hold", FromHold, "fc_pp_unique_id"),
    Place("used", Used, "var(txn.said)"),
)
# In HAProxy's words, what it tells the hold of a new request, and of one that came back from there.
# The key is added in hold.cfg.
FIRST = ToHold("%[var(txn.slot)]", "%rt", 0)
AGAIN = FIRST._replace(number="%[var(txn.number,0)]", attempt="%[var(txn.attempt)]")


def words() -> dict[str, str]:
    """Return HAProxy's words for all that is named here, by the names that rules use."""
    return {
        **{name: words for place in PLACES for name, words in place.fields()},
        **{f"to_hold.{name}": str(at) for at, name in enumerate(ToHold._fields, start=1)},
        "to_hold.first": write(FIRST),
        "to_hold.again": write(AGAIN),
        **{f"counts.{name}": str(at) for at, name in enumerate(COUNTS)},
        **{f"counts.{name}": str(at) for at, name in enumerate(TOKENS)},
        "grant.of_project": GRANT_OF_PROJECT,
        "grant.of_endpoint": GRANT_OF_ENDPOINT,
    }
