"""Where the agent learns which server it belongs to: a file that may come, change and go, or flags.

The file is JSON: `{"url": ..., "token": ..., "instance_id": ...}`, with `"metadata": "aws"` (or
"azure", "gcp") on a machine whose cloud's metadata say when it is taken back (`metadata_url` is
where, if not at the usual address), `"machine": {...}` on one that was made for its agent, and
`"authority": "-----BEGIN..."` where the server is known by these certificates alone. The token is
never an argument, because arguments are shown to every user of the host.
"""

from __future__ import annotations

import typing
import urllib.parse
from dataclasses import dataclass, field, replace
from pathlib import Path

from apps.agent import wire
from apps.agent.host import files


class BadConfig(Exception):
    """The configuration cannot be used; the text says why and what to do."""


@dataclass(frozen=True)
class Machine:
    """What holds on a machine that was made for its agent and ends with it.

    One that a person lent (`lent`) is theirs, and nothing ends it; its agent leaves it once the
    server says that it is over (410). Another is shut down by the
    command `shutdown` once the server has refused it (401) or no server has answered for so long.
    A new version of the agent is taken `update_seconds` after its start at the earliest.
    """

    refused_seconds: float = 600.0
    silent_seconds: float = 12 * 3600.0
    update_seconds: float = 300.0
    shutdown: list[str] = field(default_factory=lambda: ["shutdown", "-h", "now"])
    lent: bool = False


@dataclass(frozen=True)
class Config:
    """`instance_id` is empty where only the server knows it; `metadata` is the cloud whose metadata
    this machine has, empty where it is in none or in one that this agent does not know;
    `authority`, that by which the server is known, those of this host where it is empty."""

    url: str
    token: str = field(repr=False)
    instance_id: str = ""
    metadata: str = ""
    metadata_url: str = ""
    authority: str = ""
    machine: typing.Optional[Machine] = None

    @property
    def is_lent(self) -> bool:
        return self.machine is not None and self.machine.lent


class Source(typing.Protocol):
    def read(self) -> typing.Optional[Config]:
        """Return the configuration of now; None while there is none."""
        ...


@dataclass(frozen=True)
class FileSource:
    """A JSON file; a file that cannot be used counts as missing."""

    path: Path

    def read(self) -> typing.Optional[Config]:
        data = files.read_json(self.path)
        if data is None:
            return None
        try:
            known = made(str(data["url"]), str(data["token"]), str(data.get("instance_id") or ""))
            return replace(
                known,
                metadata=str(data.get("metadata") or ""),
                metadata_url=str(data.get("metadata_url") or ""),
                authority=str(data.get("authority") or ""),
                machine=machine_of(data),
            )
        except (KeyError, BadConfig):
            return None


@dataclass(frozen=True)
class FixedSource:
    config: Config

    def read(self) -> typing.Optional[Config]:
        return self.config


def machine_of(data: dict[str, typing.Any]) -> typing.Optional[Machine]:
    """Return what a file says of a machine that was made for its agent. Raise BadConfig."""
    if data.get("machine") is None:
        return None
    try:
        return wire.from_json(Machine, data["machine"])
    except ValueError as error:
        raise BadConfig(f"the configuration's `machine` cannot be used: {error}") from error


def made(url: str, token: str, instance_id: str = "") -> Config:
    """Check and build a configuration. Raise BadConfig."""
    parts = urllib.parse.urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise BadConfig(f"the server's address must look like https://host:port, not {url!r}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadConfig("the token is empty or holds characters that no token has")
    return Config(url=url, token=token, instance_id=instance_id)
