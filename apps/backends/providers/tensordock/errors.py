"""What an answer of TensorDock's means: its status, else the words in it.

TensorDock documents no codes, so that these are the words of its examples and of who used it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from apps.backends.base import ErrorKind, ProviderError, Scope
from apps.backends.providers.meanings import (
    BACKEND_QUOTA,
    CREDENTIALS,
    REFUSED,
    SETUP,
    THROTTLED,
    UNREACHABLE,
    Meaning,
    shortened,
)

CAPACITY_LASTS = timedelta(minutes=3)

NO_CAPACITY = Meaning(ErrorKind.CAPACITY, Scope.OFFER_REGION, CAPACITY_LASTS)

STATUSES: Mapping[int, Meaning] = {
    401: CREDENTIALS,
    402: SETUP,
    403: CREDENTIALS,
    408: UNREACHABLE,
    425: UNREACHABLE,
    429: THROTTLED,
}
# In this order: "insufficient balance" is no want of machines, a rate limit no quota.
WORDS: Mapping[str, Meaning] = {
    "rate limit": THROTTLED,
    "too many requests": THROTTLED,
    "unauthorized": CREDENTIALS,
    "invalid token": CREDENTIALS,
    "invalid api key": CREDENTIALS,
    "balance": SETUP,
    "insufficient funds": SETUP,
    "payment": SETUP,
    "quota": BACKEND_QUOTA,
    "limit reached": BACKEND_QUOTA,
    "no available": NO_CAPACITY,
    "not available": NO_CAPACITY,
    "unavailable": NO_CAPACITY,
    "not enough": NO_CAPACITY,
    "insufficient": NO_CAPACITY,
    "out of stock": NO_CAPACITY,
    "no hostnode": NO_CAPACITY,
    "no suitable": NO_CAPACITY,
    "capacity": NO_CAPACITY,
}


def meaning_of(status: int, said: str) -> Meaning:
    """Look the status up, then the words; of others the kind of the status decides."""
    text = said.lower()
    found = (meaning for words, meaning in WORDS.items() if words in text)
    # A gateway in front of it that is away has words of its own, about itself.
    if status in STATUSES or status in (502, 503, 504):
        return STATUSES.get(status, UNREACHABLE)
    return next(found, UNREACHABLE if status >= 500 else REFUSED)


def refusal(status: int, said: str, *, asked: str) -> ProviderError:
    """Return the error of an answer, with a sentence that says what was asked and answered."""
    short = shortened(said).rstrip(". ")
    told = f"TensorDock answered {status} to {asked}{f': {short}' if short else ''}."
    meaning = meaning_of(status, said)
    if meaning is CREDENTIALS:
        told += " Connect the backend with another API key."
    elif meaning is SETUP:
        told += " Add money to the account at TensorDock: it must have $1 at least."
    return meaning.error(told)


def silence(why: str, *, asked: str) -> ProviderError:
    return UNREACHABLE.error(f"TensorDock did not answer to {asked} ({why}).")
