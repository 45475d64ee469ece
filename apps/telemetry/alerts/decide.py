"""The rules of alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from apps.gateways import states as certificate_states
from apps.runs.pages.attention import ERRORS_PERCENT, LEAST_CALLS

REFUSED_PERCENT = 20.0
MOST_WORDS = 300


class Place(StrEnum):
    """Where a person looks next."""

    LOGS = "logs"
    REPLICAS = "replicas"
    METRICS = "metrics"
    GATEWAY = "gateway"
    BACKENDS = "backends"
    SPEND = "spend"


@dataclass(frozen=True)
class Alert:
    """A sentence, and where to look next."""

    text: str
    place: Place


@dataclass(frozen=True)
class Facts:
    """What is known of a service over the last `minutes`.

    `refused` calls were answered 4xx, `errors` 5xx; `held_most` is how many waited at once.
    `most_replicas` is None where it does not scale by itself. `unhealthy` are replicas by number
    with what their probe said; `certificate` is what its gateway says of its host, None where it
    needs none. `unheard` says why no machines of a backend are made that may be missing here,
    `budget` that the project's budget is reached or near where the service's machines cost.
    """

    minutes: int
    calls: int = 0
    refused: int = 0
    errors: int = 0
    held_most: int = 0
    ready: int = 0
    most_replicas: int | None = None
    has_model: bool = False
    unhealthy: Sequence[tuple[int, str]] = ()
    certificate: Mapping[str, str] | None = None
    unheard: Sequence[str] = ()
    budget: str = ""


def alerts(facts: Facts) -> list[Alert]:
    """Return what to look at, the worst first."""
    unheard = [Alert(f"{each}.", Place.BACKENDS) for each in facts.unheard]
    return [
        *unheard,
        *_unhealthy(facts),
        *_errors(facts),
        *_refused(facts),
        *_limit(facts),
        *([Alert(facts.budget, Place.SPEND)] if facts.budget else []),
        *_tls(facts),
    ]


def _unhealthy(facts: Facts) -> Iterator[Alert]:
    for num, said in facts.unhealthy:
        why = f": {said[:MOST_WORDS]}" if said else ""
        yield Alert(f"Replica {num} gets no requests, its probe fails{why}.", Place.REPLICAS)


def _errors(facts: Facts) -> Iterator[Alert]:
    if facts.calls >= LEAST_CALLS and facts.errors * 100 >= ERRORS_PERCENT * facts.calls:
        text = f"{_share(facts.errors, facts)} failed with an error of the service (5xx)."
        yield Alert(text, Place.LOGS)


def _refused(facts: Facts) -> Iterator[Alert]:
    if facts.calls < LEAST_CALLS or facts.refused * 100 < REFUSED_PERCENT * facts.calls:
        return
    look = "the model's name and the parameters" if facts.has_model else "path, method and key"
    text = (
        f"{_share(facts.refused, facts)} were refused (4xx): compare {look} with what callers send."
    )
    yield Alert(text, Place.LOGS)


def _limit(facts: Facts) -> Iterator[Alert]:
    most = facts.most_replicas
    if most and facts.ready >= most and facts.held_most:
        yield Alert(
            f"It runs the {most} replica{'s' * (most != 1)} that it may have, and up to "
            f"{facts.held_most:,} requests waited at once in the last {facts.minutes} minutes: "
            "raise the maximum to let it grow.",
            Place.METRICS,
        )


def _tls(facts: Facts) -> Iterator[Alert]:
    found = facts.certificate
    if found is None or found["state"] == certificate_states.VALID:
        return
    if found["state"] == certificate_states.PENDING:
        text = (
            f"The certificate of {found['host']} is being ordered; until it is there, http works."
        )
    else:
        why = f": {found['error'][:MOST_WORDS]}" if found.get("error") else ""
        text = f"{found['host']} has no certificate, the last order failed{why}."
    yield Alert(text, Place.GATEWAY)


def _share(count: int, facts: Facts) -> str:
    return f"{count:,} of {facts.calls:,} requests in the last {facts.minutes} minutes"
