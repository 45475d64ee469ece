"""The home folder of a server: where everything lies, and the secrets that are made for it.

config.yml            the command line's configuration, mode 0600
server/pg  valkey     the embedded servers
server/run            sockets, and which processes run
server/logs           one file a child
server/blobs          uploads
server/agent gateway  what these two keep
server/secrets.json   mode 0600
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from apps.core.ids import new_token
from apps.core.stores import atomic_write
from dstack_web.processes import StartFailed

FOLDERS = ("pg", "valkey", "run", "logs", "blobs", "agent", "gateway")


@dataclass(frozen=True)
class Secrets:
    """What only this server knows; `encryption_keys` are Fernet keys, newest first."""

    secret_key: str
    encryption_keys: list[str]
    gateway_token: str
    metrics_token: str = ""


@dataclass(frozen=True)
class Home:
    """One home folder; `server` holds what the server keeps in it."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Home:
        """Find the home that the environment names, `~/.dstack-web` if none."""
        text = environ.get("DSTACK_HOME") or "~/.dstack-web"
        return cls(Path(text).expanduser().absolute())

    @property
    def server(self) -> Path:
        return self.root / "server"

    def folder(self, name: str) -> Path:
        return self.server / name

    def log(self, child: str) -> Path:
        return self.server / "logs" / f"{child}.log"

    def prepare(self) -> None:
        """Make the folders, mode 0700. Raise StartFailed."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.server, *(self.folder(name) for name in FOLDERS)):
                folder.mkdir(mode=0o700, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise StartFailed(
                f"{error.filename} cannot be used ({error.strerror}); "
                "set DSTACK_HOME to a folder that you may write to"
            ) from error

    def lock(self) -> int:
        """Claim the home for this process until it ends.

        Return the open lock, to be kept. Raise StartFailed when another server runs on it.
        """
        lock = os.open(self.server / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise StartFailed(
                f"already runs on {self.root} (process {owner}); "
                "stop it, or set DSTACK_HOME to another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        return lock

    def secrets(self, environ: Mapping[str, str]) -> Secrets:
        """Read the secrets, making those that are missing; the environment wins.

        Raise StartFailed when the file cannot be understood: new keys would lose old data.
        """
        path = self.server / "secrets.json"
        kept = read_secrets(path)
        made = {**new_secrets(), **kept}
        if made != kept:
            atomic_write.write_text(path, json.dumps(made, indent=2))
        keys = [key.strip() for key in environ.get("DSTACK_ENCRYPTION_KEYS", "").split(",")]
        return Secrets(
            secret_key=environ.get("DSTACK_SECRET_KEY") or made["secret_key"],
            encryption_keys=[key for key in keys if key] or made["encryption_keys"].split(","),
            gateway_token=made["gateway_token"],
            metrics_token=environ.get("DSTACK_METRICS_TOKEN") or made["metrics_token"],
        )

    def write_gateway_token(self, token: str) -> Path:
        """Put the gateway's token where only this user can read it."""
        path = self.folder("gateway") / "token"
        atomic_write.write_text(path, token + "\n")
        return path

    def update_agent_config(self, *, url: str, authority: str) -> None:
        """Tell the agent of an existing server where it is now, for its port may be another one,
        and by which certificates it is known."""
        path = self.folder("agent") / "config.json"
        try:
            config = json.loads(path.read_text())
        except (OSError, ValueError):
            return  # the local backend writes it when it makes the first instance
        told = {"url": url, "authority": authority}
        if isinstance(config, dict) and {**config, **told} != config:
            atomic_write.write_text(path, json.dumps({**config, **told}))

    def write_cli_config(self, *, url: str, token: str) -> None:
        """Give the command line its first project, unless it has some."""
        path = self.root / "config.yml"
        if not path.exists():
            project = {"name": "main", "url": url, "token": token, "default": True}
            atomic_write.write_text(path, yaml.safe_dump({"projects": [project]}, sort_keys=False))


def new_secrets() -> dict[str, str]:
    return {
        "secret_key": secrets.token_urlsafe(48),
        "encryption_keys": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "gateway_token": new_token("g"),
        "metrics_token": secrets.token_urlsafe(32),
    }


def read_secrets(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StartFailed(f"{path} cannot be read ({error}); restore it from a backup") from error
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise StartFailed(f"{path} must hold an object of texts; restore it from a backup")
    return found
