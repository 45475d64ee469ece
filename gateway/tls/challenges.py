"""How an ACME server is shown that a name is ours: an answer over HTTP, or a record in the DNS.

Both are called in the thread of an order, and may take their time.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from acme import challenges, messages
from josepy.jwk import JWKRSA

from gateway.errors import OrderFailed
from gateway.schema import DnsAnswer, DnsState

HOOK_SECONDS = 300
SERVER_SECONDS, PAUSE_SECONDS = 600, 2.0
MOST_WORDS = 300


class Solver(Protocol):
    """Answers challenges of one order, and takes the answers back when it is over."""

    kind: type[challenges.KeyAuthorizationChallenge]

    def present(self, name: str, answer: str) -> None:
        """Put an answer where the server looks. Raise OrderFailed."""

    def clean_up(self) -> None:
        """Take back what was presented; it may be gone already."""


def answer(
    authorization: messages.AuthorizationResource, account_key: JWKRSA, solver: Solver
) -> tuple[messages.ChallengeBody, challenges.KeyAuthorizationChallengeResponse]:
    """Present the answer to an authorization; return what to tell the server. Raise OrderFailed."""
    found = challenge_of(authorization, solver.kind)
    response, text = found.response_and_validation(account_key)
    if isinstance(found.chall, challenges.DNS01):
        name = found.chall.validation_domain_name(authorization.body.identifier.value)
    else:
        name = found.chall.encode("token")
    solver.present(name, text)
    return found, response


def challenge_of(
    authorization: messages.AuthorizationResource,
    kind: type[challenges.KeyAuthorizationChallenge],
) -> messages.ChallengeBody:
    for each in authorization.body.challenges:
        if isinstance(each.chall, kind):
            return each
    raise OrderFailed(f"the ACME server offers no {kind.typ} challenge for this name")


class Http:
    """By HTTP-01: the gateway answers by itself. `put` and `take` are for tokens."""

    kind = challenges.HTTP01

    def __init__(self, put: Callable[[str, str], None], take: Callable[[str], None]) -> None:
        self._put, self._take = put, take
        self._tokens: list[str] = []

    def present(self, name: str, answer: str) -> None:
        self._tokens.append(name)
        self._put(name, answer)

    def clean_up(self) -> None:
        for token in self._tokens:
            self._take(token)


class DnsOfServer:
    """By DNS-01: the control plane writes the record, so that no key of the DNS is here. `ask`
    tells it what is wanted and returns how that stands."""

    kind = challenges.DNS01

    def __init__(self, ask: Callable[[DnsAnswer], DnsState]) -> None:
        self._ask = ask
        self._asked: list[DnsAnswer] = []

    def present(self, name: str, answer: str) -> None:
        asked = DnsAnswer(name=name, value=answer)
        self._asked.append(asked)
        give_up_at = time.monotonic() + SERVER_SECONDS
        while not (state := self._ask(asked)).is_there:
            if state.error:
                raise OrderFailed(f"the server cannot write {name}: {state.error}")
            if time.monotonic() > give_up_at:
                raise OrderFailed(f"the server did not write {name} in {SERVER_SECONDS} s")
            time.sleep(PAUSE_SECONDS)

    def clean_up(self) -> None:
        for asked in self._asked:
            self._ask(asked.model_copy(update={"is_wanted": False}))


class DnsHook:
    """By DNS-01: a program of the person who runs the gateway writes the record.

    It is called with `present` or `cleanup`, the record's full name with a dot at the end and its
    value, as other ACME clients call theirs (lego's `exec`). `seconds` is how long a new record
    takes until it is seen everywhere.
    """

    kind = challenges.DNS01

    def __init__(self, program: Path, *, seconds: float) -> None:
        self._program, self._seconds = program, seconds
        self._records: list[tuple[str, str]] = []

    def present(self, name: str, answer: str) -> None:
        # Noted first: a program that fails may have written it.
        self._records.append((name, answer))
        self._call("present", name, answer)
        time.sleep(self._seconds)

    def clean_up(self) -> None:
        for name, answer in self._records:
            self._call("cleanup", name, answer)

    def _call(self, action: str, name: str, answer: str) -> None:
        argv = [str(self._program), action, f"{name}.", answer]
        try:
            ran = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=HOOK_SECONDS,
                env=environment(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OrderFailed(f"{self._program} did not end in {HOOK_SECONDS} s") from None
        except OSError as error:
            raise OrderFailed(f"cannot run {self._program}: {error.strerror}") from None
        if ran.returncode:
            said = " ".join((ran.stderr or ran.stdout).split())[-MOST_WORDS:]
            raise OrderFailed(f"{self._program} {action} ended with {ran.returncode}: {said}")


def environment() -> dict[str, str]:
    """Return the environment without what is the gateway's own: a hook may need keys of a DNS."""
    return {k: v for k, v in os.environ.items() if not k.startswith("DSTACK_")}
