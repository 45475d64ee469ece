"""Running a fixed command on a host, with a script at its standard input.

A call has a folder of its own for the key, for what is known of the hosts' keys and for ssh's
configuration, where the user, the addresses and the ports stand, each checked before
(`apps.hosts.address`). The host is `host` there and its jump host `jump`, so that no argument is
anybody's word. A name is looked up here and judged (`destinations`); ssh gets the address. A key
that is not known yet is taken at the first contact, and never another one.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.hosts.address import Place
from apps.hosts.ssh import bounded, destinations, words

CONNECT_SECONDS = 15
MOST_BYTES = 1024 * 1024
HOST, JUMP = "host", "jump"
PLAIN, BY_SUDO = ("sh", "-s"), ("sudo", "-n", "sh", "-s")

logger = logging.getLogger(__name__)


class SshError(Exception):
    """The host could not be asked; the text says why."""


class OtherKey(SshError):
    """A host shows another key than is known. `known_hosts` would be all that is known if it were
    believed; `fingerprint` is that of the key that is shown."""

    def __init__(self, message: str, *, known_hosts: str, fingerprint: str) -> None:
        super().__init__(message)
        self.known_hosts, self.fingerprint = known_hosts, fingerprint


@dataclass(frozen=True)
class Target:
    """`known_hosts` is empty before the first contact; in `networks`, which are private, hosts may
    be."""

    place: Place
    key: str = field(repr=False)
    jump: Place | None = None
    known_hosts: str = ""
    networks: Sequence[destinations.Network] = ()


@dataclass(frozen=True)
class Ran:
    """What a script wrote, how it ended, and the keys that are known now."""

    code: int
    output: str
    errors: str
    known_hosts: str


def run(target: Target, command: Sequence[str], script: str, *, seconds: float) -> Ran:
    """Run a command of this module there. Raise SshError."""
    called = _resolved(target)
    with tempfile.TemporaryDirectory(prefix="dstack-host-") as name:
        folder = Path(name)
        _prepare(folder, called)
        ended = _call(folder, target, HOST, command, script, seconds=seconds)
        if ended.code == words.NOT_CONNECTED:
            raise _failure(folder, target, called, ended.errors.decode(errors="replace"))
        known = folder / "known_hosts"
        return Ran(
            ended.code,
            ended.output.decode(errors="replace"),
            ended.errors.decode(errors="replace"),
            known.read_text() if known.exists() else "",
        )


def _resolved(target: Target) -> Target:
    """Return the target with the address that this server calls in place of its name."""
    first = target.jump or target.place
    try:
        if target.jump:
            destinations.require_literal(target.place, target.networks, is_behind=True)
        found = destinations.resolved(first, target.networks)
    except destinations.Refused as error:
        raise SshError(str(error)) from None
    except (OSError, UnicodeError):
        raise SshError(f"The name of {first} is not known here: is it written well?") from None
    called = replace(first, address=_answering(found, first.port))
    return replace(target, jump=called) if target.jump else replace(target, place=called)


def _answering(addresses: Sequence[str], port: int) -> str:
    """Return the first of several that takes a connection, else the first."""
    if len(addresses) > 1:
        for each in addresses:
            try:
                with socket.create_connection((each, port), timeout=CONNECT_SECONDS):
                    return each
            except OSError:
                continue
    return addresses[0]


def _call(
    folder: Path,
    target: Target,
    alias: str,
    command: Sequence[str],
    script: str = "",
    *,
    seconds: float,
) -> bounded.Ended:
    # Behind `--` stands the host's name, and only then what is run there.
    argv = ["ssh", "-F", str(folder / "config"), "-T", "--", alias, *command]
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(folder)}
    try:
        return bounded.run(
            argv, said=script.encode(), env=env, seconds=seconds, most_bytes=MOST_BYTES
        )
    except bounded.TooLate:
        raise SshError(f"{target.place} did not answer within {seconds:g} s.") from None
    except bounded.TooMuch:
        raise SshError(f"{target.place} says more than {MOST_BYTES // 2**20} MiB.") from None
    except OSError as error:
        raise SshError(f"This server cannot run ssh: {error.strerror}.") from None


def _failure(folder: Path, target: Target, called: Target, errors: str) -> SshError:
    if alias := words.with_another_key(errors):
        return _other_key(folder, target, called, alias)
    jump = called.jump.address if called.jump else ""
    said = words.in_words(errors, target.place, target.jump, called=jump)
    if words.UNKNOWN.format(at=target.place) == said:
        logger.warning("ssh to %s: %r", target.place, errors[-1000:])
    return SshError(said)


def _other_key(folder: Path, target: Target, called: Target, alias: str) -> SshError:
    """Learn which key is shown now: it is taken down, and nothing is said to who shows it."""
    lines = target.known_hosts.splitlines(keepends=True)
    kept = "".join(line for line in lines if line.split(" ", 1)[0] != alias)
    known = folder / "known_hosts"
    known.write_text(kept)
    text = configuration(folder, replace(called, known_hosts=kept), silent=alias)
    (folder / "config").write_text(text)
    _call(folder, target, alias, ["true"], seconds=2 * CONNECT_SECONDS)
    shown = known.read_text()
    place = target.jump if alias == JUMP and target.jump else target.place
    before = words.fingerprint(target.known_hosts, alias)
    now = words.fingerprint(shown, alias)
    said = (
        f"The host key of {place} is {now or 'another one'} now, and was {before} at the first "
        "contact: somebody may be in between. Accept the new key only if the machine was set up "
        "anew."
    )
    if not now:
        return SshError(said)
    return OtherKey(said, known_hosts=shown, fingerprint=now)


def _prepare(folder: Path, target: Target) -> None:
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(target.key)
    if target.known_hosts:
        (folder / "known_hosts").write_text(target.known_hosts)
    (folder / "config").write_text(configuration(folder, target))


def configuration(folder: Path, target: Target, *, silent: str = "") -> str:
    """Return the configuration of a call; nobody's word in it means anything to ssh. No key of ours
    is offered to the alias `silent`."""
    places = [(HOST, target.place)] + ([(JUMP, target.jump)] if target.jump else [])
    known = {alias for alias, _ in places if _is_known(alias, target.known_hosts)}
    blocks = [
        _block(alias, place, folder, is_known=alias in known, is_silent=alias == silent)
        for alias, place in places
    ]
    if target.jump:
        blocks[0] += f"  ProxyJump {JUMP}\n"
    return "".join(blocks)


def _is_known(alias: str, known_hosts: str) -> bool:
    return any(line.split(" ", 1)[0] == alias for line in known_hosts.splitlines())


def _block(alias: str, place: Place, folder: Path, *, is_known: bool, is_silent: bool) -> str:
    lines = {
        "HostName": place.address,
        "Port": str(place.port),
        "User": place.user,
        "HostKeyAlias": alias,
        "StrictHostKeyChecking": "yes" if is_known else "accept-new",
        "UserKnownHostsFile": str(folder / "known_hosts"),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "HashKnownHosts": "no",
        "CheckHostIP": "no",
        "IdentityFile": str(folder / "key"),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
        "PreferredAuthentications": "none" if is_silent else "publickey",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "ControlMaster": "no",
        "ControlPath": "none",
        "PermitLocalCommand": "no",
        "RequestTTY": "no",
        "LogLevel": "ERROR",
    }
    return f"Host {alias}\n" + "".join(f"  {word} {value}\n" for word, value in lines.items())
