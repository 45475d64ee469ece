"""Running a fixed command on a host, with a script at its standard input.

A call has a folder of its own for the key, for what is known of the hosts' keys and for ssh's
configuration, where the user, the addresses and the ports stand, each checked before
(`apps.hosts.address`). The host is `host` there and its jump host `jump`, so that no argument is
anybody's word. A key that is not known yet is taken at the first contact, and never another one.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.hosts.address import Place
from apps.hosts.ssh import words

CONNECT_SECONDS = 15
MOST_BYTES = 1024 * 1024
HOST, JUMP = "host", "jump"
PLAIN, BY_SUDO = ("sh", "-s"), ("sudo", "-n", "sh", "-s")


class SshError(Exception):
    """The host could not be asked; the text says why. `is_refusal`: it is there and lets us not
    in, so that another try is no use."""

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


@dataclass(frozen=True)
class Target:
    """`known_hosts` is empty before the first contact."""

    place: Place
    key: str = field(repr=False)
    jump: Place | None = None
    known_hosts: str = ""


@dataclass(frozen=True)
class Ran:
    """What a script wrote, how it ended, and the keys that are known now."""

    code: int
    output: str
    errors: str
    known_hosts: str


def run(target: Target, command: Sequence[str], script: str, *, seconds: float) -> Ran:
    """Run a command of this module there. Raise SshError."""
    with tempfile.TemporaryDirectory(prefix="dstack-host-") as name:
        folder = Path(name)
        _prepare(folder, target)
        # Behind `--` stands the host's name, and only then what is run there.
        argv = ["ssh", "-F", str(folder / "config"), "-T", "--", HOST, *command]
        try:
            ran = subprocess.run(
                argv,
                input=script.encode(),
                capture_output=True,
                timeout=seconds,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": name},
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise SshError(f"{target.place} did not answer within {seconds:g} s.") from None
        except OSError as error:
            raise SshError(f"This server cannot run ssh: {error.strerror}.") from None
        known = folder / "known_hosts"
        errors = ran.stderr[-MOST_BYTES:].decode(errors="replace")
        if ran.returncode == words.NOT_CONNECTED:
            said, is_refusal = words.in_words(errors, target.place, target.jump)
            raise SshError(said, is_refusal=is_refusal)
        output = ran.stdout[:MOST_BYTES].decode(errors="replace")
        return Ran(ran.returncode, output, errors, known.read_text() if known.exists() else "")


def _prepare(folder: Path, target: Target) -> None:
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_text(target.key)
    if target.known_hosts:
        (folder / "known_hosts").write_text(target.known_hosts)
    (folder / "config").write_text(configuration(folder, target))


def configuration(folder: Path, target: Target) -> str:
    """Return the configuration of a call; nobody's word in it means anything to ssh."""
    places = [(HOST, target.place)] + ([(JUMP, target.jump)] if target.jump else [])
    known = {alias for alias, _ in places if _is_known(alias, target.known_hosts)}
    blocks = [_block(alias, place, folder, is_known=alias in known) for alias, place in places]
    if target.jump:
        blocks[0] += f"  ProxyJump {JUMP}\n"
    return "".join(blocks)


def _is_known(alias: str, known_hosts: str) -> bool:
    return any(line.split(" ", 1)[0] == alias for line in known_hosts.splitlines())


def _block(alias: str, place: Place, folder: Path, *, is_known: bool) -> str:
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
        "PreferredAuthentications": "publickey",
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
