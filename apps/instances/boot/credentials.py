"""What the agent of a new instance proves itself with."""

from __future__ import annotations

from apps.backends import services as backends
from apps.core import crypto, ids


def fresh(*, kind: str) -> dict[str, str]:
    """Return the columns of a new instance of this kind of backend that hold its secrets.

    A machine that was there before us is handed the token of its agent. One that we make is handed
    an enrolment, which is good for one time: clouds show what a machine boots with to many. Its
    agent makes a token of its own, so until then the token is one that nobody has.
    """
    token = ids.new_token("a")
    if backends.is_standing(kind):
        return {"token": crypto.encrypt(token), "token_hash": ids.token_hash(token)}
    return of_enrolment()


def of_enrolment() -> dict[str, str]:
    """Return the columns of an instance whose agent enrols."""
    enrolment = ids.new_token("e")
    return {
        "token": crypto.encrypt(enrolment),
        "token_hash": ids.token_hash(ids.new_token("a")),
        "enrolment_hash": ids.token_hash(enrolment),
    }
