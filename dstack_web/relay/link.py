"""One OpenSSH client that keeps a port of a gateway's loopback leading to the door."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ALIAS = "gateway"
# Both sides take note of a cut within six seconds; a short try follows on another, so that one
# comes through soon after the link is back. Far gateways want more time, and every fifth has it.
SHORT_SECONDS, LONG_SECONDS, LONG_EVERY = 2, 15, 5
PAUSE_SECONDS = 0.3
STEADY_SECONDS = 10.0


@dataclass(frozen=True)
class To:
    """A gateway's machine: it shows `host_key`, and lets in whoever has `key`, which is secret."""

    name: str
    host: str
    ssh_port: int
    user: str
    host_key: str
    key: str
    port: int


class Link:
    """The client of one gateway. `folder` is for its files, `door` the socket that it leads to."""

    def __init__(self, to: To, folder: Path, door: Path) -> None:
        self.to = to
        self._folder = folder
        self._door = door
        self._child: subprocess.Popen[bytes] | None = None
        self._tries = 0
        self._started_at = self._ended_at = -STEADY_SECONDS
        self._said = ""
        folder.mkdir(mode=0o700, exist_ok=True)
        key = folder / "key"
        key.touch(mode=0o600)
        key.write_text(to.key)
        (folder / "known_hosts").write_text(f"{ALIAS} {to.host_key}\n")

    def keep(self) -> None:
        """Start it, or start it again if it has ended. Raise OSError where there is no ssh."""
        now = time.monotonic()
        if self._child is not None:
            if self._child.poll() is None:
                if self._tries and now - self._started_at > STEADY_SECONDS:
                    self._tries, self._said = 0, ""
                return
            self._child, self._ended_at = None, now
            self._tell(self._why())
        if now - self._ended_at >= PAUSE_SECONDS:
            self._start(now)

    def _start(self, now: float) -> None:
        self._tries += 1
        self._started_at = now
        seconds = LONG_SECONDS if self._tries % LONG_EVERY == 0 else SHORT_SECONDS
        with (self._folder / "errors").open("wb") as errors:
            self._child = subprocess.Popen(
                command(self.to, door=self._door, connect_seconds=seconds),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent"},
            )

    def end(self) -> None:
        """Close it, and leave nothing of it."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None
        for name in ("key", "known_hosts", "errors"):
            (self._folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def _why(self) -> str:
        with suppress(OSError):
            text = (self._folder / "errors").read_bytes()[-4000:].decode(errors="replace")
            return " ".join((text.strip().splitlines() or [""])[-1].split())
        return ""

    def _tell(self, why: str) -> None:
        if why != self._said:
            self._said = why
            sys.stderr.write(f"no way from gateway {self.to.name} to this server: {why}\n")
            sys.stderr.flush()


def command(to: To, *, door: Path, connect_seconds: int) -> list[str]:
    """Return the command line that connects; its files lie in the folder that it runs in."""
    options = {
        "BatchMode": "yes",
        "CheckHostIP": "no",
        "ConnectTimeout": str(connect_seconds),
        "ControlPath": "none",
        "ExitOnForwardFailure": "yes",
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": ALIAS,
        "HostKeyAlgorithms": "ssh-ed25519",
        "IdentitiesOnly": "yes",
        "LogLevel": "ERROR",
        "PreferredAuthentications": "publickey",
        "ServerAliveCountMax": "2",
        "ServerAliveInterval": "2",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "UserKnownHostsFile": "known_hosts",
    }
    words = [f"-o{name}={value}" for name, value in options.items()]
    forward = ["-R", f"127.0.0.1:{to.port}:{door}"]
    where = ["-p", str(to.ssh_port), "-l", to.user, "--", to.host]
    return ["ssh", "-F", "none", "-N", "-T", "-i", "key", *words, *forward, *where]
