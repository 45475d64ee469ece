"""The first thing that the agent of a new machine does: trade its enrolment for a token.

The machine boots with a file that only root may read: the server's address, the enrolment and what
else goes into the configuration. The agent makes a token and a key of its own, which are kept
before they are sent, so that asking again after a kill is the same question. Then the configuration
is written and the enrolment removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import string
import threading
import typing
from pathlib import Path

from apps.agent import config as configuration
from apps.agent import wire
from apps.agent.host import files, pulse, ssh_key
from apps.agent.host.journal import say
from apps.agent.machine.watchdog import Watchdog
from apps.agent.server.backoff import Backoff
from apps.agent.server.client import Client, Refused, ServerAway

LETTERS = string.ascii_letters + string.digits
TOKEN_LETTERS = 43
REFUSED_SECONDS = 15.0
# What it says of itself is the server's to answer; the rest goes into the configuration.
OWN = ("enrolment", "program_sha256")


def enrol(enrolment: Path, config: Path, *, home: Path, stop: threading.Event) -> str:
    """Enrol, if that was not done before; return why this machine has to end instead, "" if not.

    It returns early when `stop` is set.
    """
    said = files.read_json(enrolment)
    if said is None or config.exists():
        _remove(enrolment)
        return ""
    try:
        address = configuration.made(str(said.get("url")), str(said.get("enrolment")))
    except configuration.BadConfig as error:
        say(f"this machine cannot enrol: {error}")
        return ""
    authority = str(said.get("authority") or "")
    client = Client(configuration.Config(url=address.url, token="", authority=authority))
    watchdog = Watchdog(rules_of(enrolment), client.contact, home / "contact.json")
    token = _token(home)
    asked = wire.Enrolment(
        enrolment=address.token,
        token_sha256=hashlib.sha256(token.encode()).hexdigest(),
        ssh_public_key=ssh_key.public_key(home / "ssh"),
    )
    answer = _asked(client, asked, watchdog, stop)
    if isinstance(answer, str):
        return answer
    rest = {name: value for name, value in said.items() if name not in OWN}
    files.write_json(config, {**rest, "token": token, "instance_id": answer.instance_id})
    _remove(enrolment)
    _remove(home / "enrolling.json")
    say("enrolled")
    return ""


def rules_of(enrolment: Path) -> configuration.Machine:
    """Return what a file of an enrolment says of the machine, else what holds everywhere."""
    try:
        found = configuration.machine_of(files.read_json(enrolment) or {})
    except configuration.BadConfig:
        found = None
    return found or configuration.Machine()


def _asked(
    client: Client, asked: wire.Enrolment, watchdog: Watchdog, stop: threading.Event
) -> typing.Union[wire.Enrolled, str]:
    """Ask until there is an answer; return "" when told to stop, or why the machine has to end."""
    backoff, told = Backoff(), ""
    while not stop.is_set():
        pulse.beat()
        why = watchdog.why()
        if why:
            return why
        try:
            return client.enrol(asked)
        except (ServerAway, Refused) as error:
            words = f"this machine is not enrolled: {error}"
            pause = REFUSED_SECONDS if isinstance(error, Refused) else backoff.next()
        if words != told:
            told = words
            say(words)
        until_end = max(0.1, min(pause, watchdog.left_seconds()))
        stop.wait(until_end)
    return ""


def _token(home: Path) -> str:
    """Return the token of this machine's agent: the one that was sent before, if any."""
    kept = home / "enrolling.json"
    known = (files.read_json(kept) or {}).get("token")
    if isinstance(known, str) and known:
        return known
    made = "dsk_a_" + "".join(secrets.choice(LETTERS) for _ in range(TOKEN_LETTERS))
    files.write_json(kept, {"token": made})
    return made


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
